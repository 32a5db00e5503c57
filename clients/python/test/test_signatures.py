"""What is written twice is the same twice."""

from __future__ import annotations

import inspect
from typing import Any

import pgdumpd_client
from pgdumpd_client import _sync, aio

FUNCTIONS = [name for name in aio.__all__ if inspect.isfunction(getattr(aio, name))]


def test_sync_and_async_functions_have_the_same_parameters_and_documentation() -> None:
    assert len(FUNCTIONS) == 8
    for name in FUNCTIONS:
        sync, asynchronous = getattr(_sync, name), getattr(aio, name)
        assert parameters(sync) == parameters(asynchronous), name
        assert sync.__doc__ == asynchronous.__doc__, name
        assert getattr(pgdumpd_client, name) is sync


def test_everything_public_is_exported_and_documented() -> None:
    for name in pgdumpd_client.__all__:
        public = getattr(pgdumpd_client, name)
        if inspect.isclass(public) or inspect.isfunction(public):
            assert public.__doc__, name


def parameters(function: Any) -> list[tuple[str, Any, Any, str]]:
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default, one.annotation.replace("AsyncDatabase", "Database")) for one in found]

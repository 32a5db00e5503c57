"""Statements of the client, and how their rows are read. They are the same for sync and async connections.

No statement depends on the session. Each name is qualified, operators too: the search_path changes nothing. Each row is
one JSON text with times in UTC: neither time zone, DateStyle nor the application's own loaders change what is read.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from ._errors import InvalidRequestError

Result = TypeVar("Result")
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Statement(Generic[Result]):
    """One statement, whose only column is a JSON text."""

    text: str
    values: Mapping[str, Any]
    parse: Callable[[list[Any]], Result]
    """Makes the result of what the rows' texts contain."""
    writes: bool = False
    """Whether it belongs to the caller's transaction: a read ends what it began."""


@dataclass(frozen=True, slots=True)
class Known(Generic[Result]):
    """A result for which the database need not be asked."""

    result: Result


def columns(record: type, **expressions: str) -> str:
    """The columns of a record, by the names of its fields; `expressions` are for fields that are no column."""
    hints = get_type_hints(record)
    return ", ".join(_column(field.name, hints[field.name], expressions) for field in fields(record))


def _column(name: str, hint: Any, expressions: dict[str, str]) -> str:
    if name in expressions:
        return f"{expressions[name]} AS {name}"
    return f"{iso_time(name)} AS {name}" if datetime in (hint, *get_args(hint)) else name


def iso_time(column: str) -> str:
    """A column of the type timestamptz as an ISO text in UTC: JSON's own would depend on the session's time zone."""
    return f"""pg_catalog.to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""


def json_rows(rows: str) -> str:
    """A statement that returns each row of a query as one JSON text."""
    return f"SELECT pg_catalog.row_to_json(answer)::pg_catalog.text FROM ({rows}) AS answer"


def read(record: type[Record], row: dict[str, Any]) -> Record:
    """A record of a row with the same names."""
    return record(**{name: convert(row[name]) for name, convert in _converters(record).items()})  # type: ignore[arg-type] # a class is hashable


@cache
def _converters(record: type) -> dict[str, Callable[[Any], Any]]:
    return {name: _converter(hint) for name, hint in get_type_hints(record).items()}


def _converter(hint: Any) -> Callable[[Any], Any]:
    """How a value of JSON becomes one of a field's type."""
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        convert = _converter(next(one for one in arguments if one is not types.NoneType))
        return lambda value: None if value is None else convert(value)
    if get_origin(hint) is tuple:
        convert = _converter(arguments[0])
        return lambda value: tuple(convert(one) for one in value)
    if hint is datetime:
        return datetime.fromisoformat
    if hint in (UUID, float):
        return hint  # type: ignore[no-any-return] # each is a function of one value
    if is_dataclass(hint):
        return lambda value: read(hint, value)  # type: ignore[arg-type] # a class, as a hint is
    return lambda value: value


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def is_uuid(value: str | UUID) -> bool:
    """Whether a value can be a job's id: a UUID as PostgreSQL writes it, in either case."""
    return isinstance(value, UUID) or _UUID.fullmatch(value) is not None


def names(targets: Sequence[str] | None) -> list[str] | None:
    """Names of targets as an array's; a single text would be an array of its letters."""
    if isinstance(targets, str):
        raise TypeError("targets is a text, not a list of texts")
    return None if targets is None else list(targets)


def to_json(name: str, value: Any) -> str:
    """A value as JSON."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise InvalidRequestError(f"{name} cannot be written as JSON: {error}") from error

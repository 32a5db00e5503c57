"""The ways to call the client: each test runs with a connection and a pool, sync and async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import pgdumpd_client
from pgdumpd_client import aio

Result = TypeVar("Result")


class Client:
    """The functions of the client, on something that they take. Async ones are awaited: `client.targets()`."""

    def __init__(self, module: Any, db: Any, run: Callable[[Awaitable[Any]], Any]) -> None:
        self._module = module
        self.db = db
        self.run = run
        """Awaits what async code returns."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._module, name)

        def call(*arguments: Any, **named: Any) -> Any:
            result = function(self.db, *arguments, **named)
            if inspect.isasyncgen(result):
                return self._iterate(result)
            return self.run(result) if inspect.isawaitable(result) else result

        return call

    def execute(self, statement: str) -> None:
        """Runs a statement on a connection."""
        result = self.db.execute(statement.encode())
        if inspect.isawaitable(result):
            self.run(result)

    def _iterate(self, values: AsyncIterator[Result]) -> Iterator[Result]:
        while True:
            try:
                yield self.run(anext(values))
            except StopAsyncIteration:
                return


class Clients:
    """Makes clients, and closes what they use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = ExitStack()
        self._async_stack = AsyncExitStack()
        self._runner = self._stack.enter_context(asyncio.Runner())

    def make(self, way: str, **settings: Any) -> Client:
        """A client of one of `WAYS`, with settings of the connection."""
        kind, _, what = way.partition(" ")
        if kind == "async":
            return Client(aio, self._runner.run(self._async(what, settings)), self._run)
        return Client(pgdumpd_client, self._sync(what, settings), self._run)

    def _run(self, awaitable: Awaitable[Result]) -> Result:
        async def run() -> Result:
            return await awaitable

        result: Result = self._runner.run(run())
        return result

    def _sync(self, what: str, settings: dict[str, Any]) -> Any:
        if what == "pool":
            return self._stack.enter_context(ConnectionPool(self._url, kwargs=settings, min_size=1, open=False))
        return self._stack.enter_context(psycopg.connect(self._url, autocommit=what == "autocommit", **settings))

    async def _async(self, what: str, settings: dict[str, Any]) -> Any:
        enter = self._async_stack.enter_async_context
        if what == "pool":
            return await enter(AsyncConnectionPool(self._url, kwargs=settings, min_size=1, open=False))
        autocommit = what == "autocommit"
        return await enter(await psycopg.AsyncConnection.connect(self._url, autocommit=autocommit, **settings))

    def close(self) -> None:
        self._runner.run(self._async_stack.aclose())
        self._stack.close()


CONNECTIONS = ("sync connection", "async connection")
"""Connections whose transactions the caller ends."""
WAYS = ("sync autocommit", "sync pool", "async autocommit", "async pool")
"""What commits by itself."""

"""Runs statements on what an application has: a connection, or a pool of them."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, tuple_row

from ._errors import backup_errors
from ._statement import Known, Statement

Result = TypeVar("Result")


class Pool(Protocol):
    """A pool of `psycopg_pool`, or whatever else lends connections in the same way."""

    def connection(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lends a connection, and commits at the end."""


class AsyncPool(Protocol):
    """An async pool of `psycopg_pool`, or whatever else lends connections in the same way."""

    def connection(self) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]:
        """Lends a connection, and commits at the end."""


def run(db: psycopg.Connection[Any] | Pool, statement: Statement[Result] | Known[Result]) -> Result:
    """Runs a statement, and returns its result."""
    if isinstance(statement, Known):
        return statement.result
    with backup_errors():
        if isinstance(db, psycopg.Connection):
            return statement.parse(_rows(db, statement))
        with db.connection() as connection:
            return statement.parse(_rows(connection, statement))


async def run_async(
    db: psycopg.AsyncConnection[Any] | AsyncPool, statement: Statement[Result] | Known[Result]
) -> Result:
    """Runs a statement, and returns its result."""
    if isinstance(statement, Known):
        return statement.result
    with backup_errors():
        if isinstance(db, psycopg.AsyncConnection):
            return statement.parse(await _rows_async(db, statement))
        async with db.connection() as connection:
            return statement.parse(await _rows_async(connection, statement))


def _rows(connection: psycopg.Connection[Any], statement: Statement[Any]) -> list[Any]:
    if _begins_transaction(connection, statement):
        with connection.transaction():
            return _rows(connection, statement)
    # Not the connection's own kind of cursor and rows, which the application chooses.
    with psycopg.Cursor[TupleRow](connection, row_factory=tuple_row) as cursor:
        # A transaction pooler may give the next statement another session, which knows no prepared ones.
        cursor.execute(statement.text.encode(), statement.values, prepare=False)
        return [json.loads(text) for (text,) in cursor]


async def _rows_async(connection: psycopg.AsyncConnection[Any], statement: Statement[Any]) -> list[Any]:
    if _begins_transaction(connection, statement):
        async with connection.transaction():
            return await _rows_async(connection, statement)
    async with psycopg.AsyncCursor[TupleRow](connection, row_factory=tuple_row) as cursor:
        await cursor.execute(statement.text.encode(), statement.values, prepare=False)
        return [json.loads(text) async for (text,) in cursor]


def _begins_transaction(connection: psycopg.BaseConnection[Any], statement: Statement[Any]) -> bool:
    """Whether a read would leave a transaction open that nobody asked for."""
    return not statement.writes and not connection.autocommit and is_idle(connection)


def is_idle(db: object) -> bool:
    """Whether this is no connection in a transaction."""
    return not isinstance(db, psycopg.BaseConnection) or db.info.transaction_status in (
        TransactionStatus.IDLE,
        # Lost: the statement reports it.
        TransactionStatus.UNKNOWN,
    )


def is_lost(db: object) -> bool:
    """Whether this is a connection that is closed: only a pool opens another one."""
    return isinstance(db, psycopg.BaseConnection) and db.closed

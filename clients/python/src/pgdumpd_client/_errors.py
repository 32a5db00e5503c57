"""What the database refuses, as exceptions: one type for each thing that a caller can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import psycopg


class BackupError(Exception):
    """An error of the queue: what the server reported, and what it advised. Each subclass is one kind of error."""

    kind: ClassVar[str] = "unexpected"
    """The same word as in the other clients, for logs and answers."""
    default_hint: ClassVar[str | None] = None

    message: str
    """What is wrong, without the advice."""
    sqlstate: str | None
    """The SQLSTATE, such as `23514`; None if the server did not answer, or was not asked."""
    hint: str | None
    """Advice for people, in full sentences."""

    def __init__(self, message: str, *, sqlstate: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate
        self.hint = hint if hint is not None else self.default_hint


class InvalidRequestError(BackupError):
    """A value is out of range, or the spec is malformed: correct the request."""

    kind = "invalid"


class IdTakenError(BackupError):
    """The id belongs to another job: choose another one."""

    kind = "id_taken"


class QuotaError(BackupError):
    """The role has as many backups queued, or kept, as it may have: wait, or raise its quota."""

    kind = "quota"


class BusyError(BackupError):
    """Another transaction cancels the same job: cancel again later."""

    kind = "busy"


class DeniedError(BackupError):
    """The role lacks a right."""

    kind = "denied"
    default_hint = "Run `pgdumpd migrate --grant-producer ROLE` for the role that the application connects as."


class NotMigratedError(BackupError):
    """The database has no queue, or one of an older version."""

    kind = "not_migrated"
    default_hint = "Run `pgdumpd migrate` against this database."


class UnavailableError(BackupError):
    """The server or the connection was lost: try again. An enqueue with the same id is safe to repeat."""

    kind = "unavailable"


class UnexpectedError(BackupError):
    """Anything else."""


_OF_SQLSTATE: dict[str, type[BackupError]] = {
    "23514": InvalidRequestError,
    "23502": InvalidRequestError,
    "23505": IdTakenError,
    "53400": QuotaError,
    "55P03": BusyError,
    "42501": DeniedError,
    "3F000": NotMigratedError,
    "42P01": NotMigratedError,
    "42883": NotMigratedError,
    "42703": NotMigratedError,
}

_OF_CLASS: dict[str, type[BackupError]] = {
    # Data exceptions: a value that its type cannot have.
    "22": InvalidRequestError,
    # Connection, resources, a server that stops, serialization: trying again may help.
    "08": UnavailableError,
    "53": UnavailableError,
    "57P": UnavailableError,
    "40": UnavailableError,
}


@contextmanager
def backup_errors() -> Iterator[None]:
    """Turns what psycopg raises into a `BackupError`, with the original as its cause."""
    try:
        yield
    except psycopg.Error as error:
        message = error.diag.message_primary or str(error) or type(error).__name__
        raise _type_of(error)(message, sqlstate=error.sqlstate, hint=error.diag.message_hint) from error
    except UnicodeEncodeError as error:
        # Half of a surrogate pair, or a character that the connection's encoding does not have.
        raise InvalidRequestError(f"a text cannot be sent to the server: {error.reason}") from error


def _type_of(error: psycopg.Error) -> type[BackupError]:
    sqlstate = error.sqlstate
    if sqlstate is None:
        # Refused before it was sent, such as a text with a NUL; or there was no connection to send it.
        if isinstance(error, psycopg.DataError):
            return InvalidRequestError
        return UnavailableError if isinstance(error, psycopg.OperationalError) else UnexpectedError
    if sqlstate in _OF_SQLSTATE:
        return _OF_SQLSTATE[sqlstate]
    return next((type_ for start, type_ in _OF_CLASS.items() if sqlstate.startswith(start)), UnexpectedError)

"""The answers of a web application's routes, as JSON.

They are the same as those of `@pgdumpd/client`, whose React component reads them. The functions here ask no database
and know no web framework.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any, Literal, TypedDict
from uuid import UUID

from ._cancel import Cancelled
from ._errors import BackupError, BusyError, IdTakenError, InvalidRequestError, QuotaError, UnavailableError
from ._list import BackupPage, PageKey
from ._monitoring import MonitoredBackup
from ._statement import is_uuid
from ._status import BackupOutcome, BackupState, BackupStatus
from ._targets import Target

__all__ = [
    "BackupAnswer",
    "CancelAnswer",
    "ListAnswer",
    "MonitoringAnswer",
    "Problem",
    "ProblemType",
    "TimeSpan",
    "answer_of",
    "cancel_answer",
    "cursor_of",
    "etag_of",
    "is_uuid",
    "list_answer",
    "monitoring_answer",
    "page_key",
    "problem",
    "problem_of",
    "waiting_answer",
]


class TimeSpan(TypedDict):
    """A span of time in whole seconds, and as `0:05` or `1:02:03`."""

    total: int
    formatted: str


class Tables(TypedDict):
    """How many tables are complete, and how many are expected."""

    done: int | None
    total: int | None


class Rows(TypedDict):
    """How many rows have passed, and how many are expected."""

    done: int | None
    expected: int | None


class Bytes(TypedDict):
    """What pg_dump wrote, and what the storage accepted."""

    dumped: int | None
    stored: int | None


class Copies(TypedDict):
    """In how many storages the backup is, and is to be."""

    stored: int
    total: int


class StoredBackup(TypedDict):
    """What was stored."""

    sizeBytes: int | None
    sha256: str | None
    storages: list[str]


class Failure(TypedDict):
    """Why a job failed, or why its last attempt failed while it waits for the next one."""

    code: str | None
    step: str | None
    message: str
    hint: str | None


class BackupAnswer(TypedDict):
    """One backup. Times are ISO 8601 in UTC with microseconds."""

    success: Literal[True]
    id: str
    status: BackupOutcome
    progress: float
    message: str
    elapsedTime: TimeSpan
    lastUpdate: str | None
    target: str | None
    label: str | None
    state: BackupState
    phase: str | None
    currentTable: str | None
    tables: Tables
    rows: Rows
    bytes: Bytes
    estimatedEnd: str | None
    timeLeft: TimeSpan | None
    attempt: int
    maxAttempts: int
    queuePosition: int | None
    waitsBecause: str | None
    cancelRequested: bool
    copies: Copies
    warnings: list[str]
    createdAt: str | None
    startedAt: str | None
    finishedAt: str | None
    result: StoredBackup | None
    error: Failure | None


class CancelAnswer(BackupAnswer):
    """The backup, and what its cancel did."""

    cancel: Literal["cancelled", "stopping", "ended_before"]


class ListAnswer(TypedDict):
    """One page of backups, newest first."""

    success: Literal[True]
    backups: list[BackupAnswer]
    next: str | None


class MonitoringAnswer(TypedDict):
    """What is queued or running, and the targets to choose from."""

    success: Literal[True]
    backups: list[dict[str, Any]]
    targets: list[dict[str, Any]]


_MESSAGES: dict[BackupState, str] = {
    "queued": "Waiting to start",
    "running": "Running",
    "succeeded": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


def answer_of(status: BackupStatus) -> BackupAnswer:
    """The answer for a job."""
    message = status.waits_because if status.state == "queued" else status.message
    result: StoredBackup | None = None
    if status.state == "succeeded":
        storages = [one.storage for one in status.stored_in]
        result = {"sizeBytes": status.size_bytes, "sha256": status.sha256, "storages": storages}
    error: Failure | None = None
    if status.error is not None:
        error = {
            "code": status.error_code,
            "step": status.error_step,
            "message": status.error,
            "hint": status.error_hint,
        }
    return {
        "success": True,
        "id": str(status.id),
        "status": status.status,
        # Rounded down: 100 is success and nothing else.
        "progress": math.floor(status.progress * 10) / 10,
        "message": message if message is not None else _MESSAGES[status.state],
        "elapsedTime": _time_span(status.elapsed_seconds or 0),
        "lastUpdate": _iso(status.last_update),
        "target": status.target,
        "label": status.label,
        "state": status.state,
        "phase": status.phase,
        "currentTable": status.current_table,
        "tables": {"done": status.tables_done, "total": status.tables_total},
        "rows": {"done": status.rows_done, "expected": status.rows_expected},
        "bytes": {"dumped": status.bytes_dumped, "stored": status.bytes_stored},
        "estimatedEnd": _iso_or_none(status.estimated_end),
        "timeLeft": None if status.seconds_left is None else _time_span(status.seconds_left),
        "attempt": status.attempt,
        "maxAttempts": status.max_attempts,
        "queuePosition": status.queue_position,
        "waitsBecause": status.waits_because,
        "cancelRequested": status.cancel_requested_at is not None,
        "copies": {"stored": status.copies_stored, "total": status.copies_total},
        "warnings": list(status.warnings),
        "createdAt": _iso(status.created_at),
        "startedAt": _iso_or_none(status.started_at),
        "finishedAt": _iso_or_none(status.finished_at),
        "result": result,
        "error": error,
    }


def waiting_answer(id: str | UUID) -> BackupAnswer:
    """The answer for an id that has no job yet, such as one that a page has invented."""
    return {
        "success": True,
        "id": str(id),
        "status": "in_progress",
        "progress": 0,
        "message": _MESSAGES["queued"],
        "elapsedTime": _time_span(0),
        "lastUpdate": None,
        "target": None,
        "label": None,
        "state": "queued",
        "phase": None,
        "currentTable": None,
        "tables": {"done": None, "total": None},
        "rows": {"done": None, "expected": None},
        "bytes": {"dumped": None, "stored": None},
        "estimatedEnd": None,
        "timeLeft": None,
        "attempt": 0,
        "maxAttempts": 0,
        "queuePosition": None,
        "waitsBecause": None,
        "cancelRequested": False,
        "copies": {"stored": 0, "total": 0},
        "warnings": [],
        "createdAt": None,
        "startedAt": None,
        "finishedAt": None,
        "result": None,
        "error": None,
    }


_CANCEL_WORDS: dict[Cancelled, Literal["cancelled", "stopping", "ended_before"]] = {
    "cancelled": "cancelled",
    "cancelling": "stopping",
    "already_succeeded": "ended_before",
    "already_failed": "ended_before",
    "already_cancelled": "ended_before",
    # Its row was deleted a moment ago.
    "not_found": "ended_before",
}


def cancel_answer(status: BackupStatus, cancelled: Cancelled) -> CancelAnswer:
    """The answer to a cancel: the backup as it is after it, and what the cancel did."""
    return {**answer_of(status), "cancel": _CANCEL_WORDS[cancelled]}


def list_answer(page: BackupPage) -> ListAnswer:
    """The answer for a page of the history; its `next` is the next page's parameter `cursor`."""
    next = None if page.next is None else cursor_of(page.next)
    return {"success": True, "backups": [answer_of(status) for status in page.backups], "next": next}


def monitoring_answer(backups: Sequence[MonitoredBackup], targets: Sequence[Target]) -> MonitoringAnswer:
    """The answer for what is queued or running. Neither metadata nor roles are in it."""
    return {
        "success": True,
        "backups": [_camel_case(backup, hidden=("metadata", "requested_by")) for backup in backups],
        "targets": [_camel_case(target) for target in targets],
    }


def etag_of(answer: BackupAnswer) -> str:
    """An ETag that is the same for as long as nothing has happened, though time passes."""
    timeless = {**answer, "elapsedTime": None, "timeLeft": None}
    digest = hashlib.sha256(json.dumps(timeless).encode()).digest()
    return f'W/"{base64.urlsafe_b64encode(digest).decode()[:22]}"'


def cursor_of(key: PageKey) -> str:
    """A page's end as a parameter of a URL."""
    return base64.urlsafe_b64encode(f"{_iso(key.created_at)} {key.id}".encode()).decode().rstrip("=")


_CURSOR = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})Z ([0-9a-f-]{36})", re.ASCII)


def page_key(cursor: str) -> PageKey:
    """The page's end that a parameter names.

    Raises:
        InvalidRequestError: It is no cursor.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        match = _CURSOR.fullmatch(text)
        if match is not None:
            return PageKey(created_at=datetime.fromisoformat(f"{match[1]}+00:00"), id=UUID(match[2]))
    except (binascii.Error, ValueError):
        pass
    raise InvalidRequestError("`cursor` is not of an earlier page")


ProblemType = Literal[
    "unauthenticated",
    "forbidden",
    "cross-site",
    "unknown-backup",
    "unknown-route",
    "no-job-yet",
    "malformed-request",
    "invalid-request",
    "idempotency-mismatch",
    "too-large",
    "quota",
    "busy",
    "unavailable",
    "internal",
]
"""The last part of a problem's `type`, after `urn:pgdumpd:problem:`."""


class _Problem(TypedDict):
    success: Literal[False]
    type: str
    title: str
    status: int
    detail: str


class Problem(_Problem, total=False):
    """What an answer of the type `application/problem+json` (RFC 9457) contains; `status` is its HTTP status."""

    hint: str


_PROBLEMS: dict[ProblemType, tuple[int, str]] = {
    "unauthenticated": (401, "Not signed in"),
    "forbidden": (403, "Not allowed"),
    "cross-site": (403, "The request comes from another site"),
    "unknown-backup": (404, "No such backup"),
    "unknown-route": (404, "No such route"),
    "no-job-yet": (409, "The id is a temporary one"),
    "malformed-request": (400, "The request cannot be read"),
    "invalid-request": (422, "The request is invalid"),
    "idempotency-mismatch": (422, "The id or key belongs to another request"),
    "too-large": (413, "The request is too large"),
    "quota": (429, "Too many backups are queued or kept"),
    "busy": (503, "The backup is being cancelled by another request"),
    "unavailable": (503, "The queue cannot be reached"),
    "internal": (500, "The server made a mistake"),
}

_OF_ERRORS: dict[type[BackupError], ProblemType] = {
    InvalidRequestError: "invalid-request",
    IdTakenError: "idempotency-mismatch",
    QuotaError: "quota",
    BusyError: "busy",
}


def problem(type: ProblemType, detail: str, hint: str | None = None) -> Problem:
    """The answer to a request that is refused."""
    status, title = _PROBLEMS[type]
    answer: Problem = {
        "success": False,
        "type": f"urn:pgdumpd:problem:{type}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if hint is not None:
        answer["hint"] = hint
    return answer


def problem_of(error: BackupError) -> Problem:
    """The answer to a request that fails with an error. What is not the asker's doing is not shown: log it."""
    for type_, word in _OF_ERRORS.items():
        if isinstance(error, type_):
            return problem(word, error.message, error.hint)
    if isinstance(error, UnavailableError):
        return problem("unavailable", "the queue cannot be reached", "Ask again later.")
    return problem("internal", "the request failed", "The server's log has the cause.")


def _time_span(seconds: float) -> TimeSpan:
    whole = max(0, math.floor(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return {"total": whole, "formatted": f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"}


def _iso(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _iso_or_none(time: datetime | None) -> str | None:
    return None if time is None else _iso(time)


def _camel_case(record: Any, hidden: Sequence[str] = ()) -> dict[str, Any]:
    """A record's fields as members of JSON."""
    members = {}
    for field in fields(record):
        if field.name not in hidden:
            value = getattr(record, field.name)
            if isinstance(value, datetime):
                value = _iso(value)
            elif isinstance(value, UUID):
                value = str(value)
            members[re.sub(r"_(.)", lambda match: match[1].upper(), field.name)] = value
    return members

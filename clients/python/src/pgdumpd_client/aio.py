"""The functions of `pgdumpd_client` for async connections and pools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from ._cancel import Cancelled, cancel_statement
from ._enqueue import BackupSpec, Enqueued, enqueue_statement
from ._errors import UnavailableError
from ._list import BackupPage, PageKey, list_statement
from ._monitoring import MonitoredBackup, monitoring_statement
from ._run import AsyncPool, is_idle, is_lost, run_async
from ._status import BackupState, BackupStatus, JobKind, status_statement, statuses_statement
from ._targets import Target, targets_statement
from ._watch import IN_TRANSACTION, Watch

AsyncDatabase = psycopg.AsyncConnection[Any] | AsyncPool
"""What the functions take: an async connection, or an async pool."""

__all__ = [
    "AsyncDatabase",
    "AsyncPool",
    "backup_status",
    "backup_statuses",
    "cancel_backup",
    "enqueue_backup",
    "list_backups",
    "monitoring",
    "targets",
    "watch_backup",
]


async def enqueue_backup(
    db: AsyncDatabase,
    target: str,
    *,
    id: str | UUID | None = None,
    label: str | None = None,
    spec: BackupSpec | None = None,
    priority: int | None = None,
    run_at: datetime | None = None,
    idempotency_key: str | None = None,
    max_attempts: int | None = None,
    timeout: timedelta | None = None,  # of the backup, not of this call
    metadata: Mapping[str, Any] | None = None,
    trace_parent: str | None = None,
) -> Enqueued:
    """Enqueues a backup of a target.

    On a connection inside a transaction, the backup is taken if and only if the transaction commits. A connection that
    is not in autocommit mode begins one: commit it.

    Args:
        db: A connection, or a pool.
        target: The target's name in the daemon's configuration.
        id: The job's id, random by default. To repeat a request whose answer was lost, give the same id.
        label: A text for people, at most 200 bytes.
        spec: What the backup contains, if not everything.
        priority: 1 (first) to 5 (last); 3 by default.
        run_at: When it is due, with a time zone; now by default.
        idempotency_key: At most one job of a role and target has it; 1 to 200 bytes.
        max_attempts: 1 to 100; 3 by default.
        timeout: Of one attempt; 1 second to 30 days.
        metadata: Your own object of at most 16 kB, such as `{"user": 7}`; the queue keeps it.
        trace_parent: The request's W3C trace context, as a `traceparent` header holds it; the job's log lines have it.

    Raises:
        InvalidRequestError: A value is out of range.
        IdTakenError: The id is another job's.
        QuotaError: The role has as many backups as it may have.
        BackupError: Of another type, if the database or the role's rights are the cause.
    """
    statement = enqueue_statement(
        target=target,
        id=id,
        label=label,
        spec=spec,
        priority=priority,
        run_at=run_at,
        idempotency_key=idempotency_key,
        max_attempts=max_attempts,
        timeout=timeout,
        metadata=metadata,
        trace_parent=trace_parent,
    )
    return await run_async(db, statement)


async def backup_status(db: AsyncDatabase, id: str | UUID) -> BackupStatus | None:
    """Reads one job.

    None if there is no such job, if it is another role's, and if the id is not a UUID (such as a temporary one that a
    page has invented).
    """
    return await run_async(db, status_statement(id))


async def backup_statuses(db: AsyncDatabase, ids: Iterable[str | UUID]) -> list[BackupStatus]:
    """Reads many jobs with one statement: those of the ids that exist, in any order."""
    return await run_async(db, statuses_statement(ids))


async def list_backups(
    db: AsyncDatabase,
    *,
    targets: Sequence[str] | None = None,
    state: BackupState | None = None,
    label: str | None = None,
    kind: JobKind | None = "backup",
    copy_of: str | UUID | None = None,
    limit: int = 50,
    after: PageKey | None = None,
) -> BackupPage:
    """Reads jobs, newest first, one page at a time. Jobs that are enqueued meanwhile neither shift nor repeat rows.

    Args:
        db: A connection, or a pool.
        targets: Of these targets only.
        state: In this state only.
        label: With this label only.
        kind: Backups by default, or copies; None takes both.
        copy_of: Copies of this backup only (with `kind="copy"`).
        limit: The most rows, 1 to 1000.
        after: Only jobs that are older than this one: `next` of the page before.
    """
    statement = list_statement(
        targets=targets, state=state, label=label, kind=kind, copy_of=copy_of, limit=limit, after=after
    )
    return await run_async(db, statement)


async def cancel_backup(db: AsyncDatabase, id: str | UUID) -> Cancelled:
    """Cancels a job. An id that is not a UUID is `not_found`.

    On a connection that is not in autocommit mode, the cancel is part of the transaction: commit it.

    Raises:
        BusyError: Another transaction cancels the same job, and has not ended within 2 s.
    """
    return await run_async(db, cancel_statement(id))


async def monitoring(
    db: AsyncDatabase, *, targets: Sequence[str] | None = None, limit: int = 1000
) -> list[MonitoredBackup]:
    """Reads the jobs that are queued or running: first what runs, then what has waited longest."""
    return await run_async(db, monitoring_statement(targets=targets, limit=limit))


async def targets(db: AsyncDatabase, *, targets: Sequence[str] | None = None) -> list[Target]:
    """Reads the targets that a daemon serves or that have a backup, by name."""
    return await run_async(db, targets_statement(targets=targets))


async def watch_backup(
    db: AsyncDatabase,
    id: str | UUID,
    *,
    interval: float = 0.5,
    max_interval: float = 5.0,
    retry_for: float = 60.0,
) -> AsyncGenerator[BackupStatus, None]:
    """Follows a job to its end: its status now, then each one that differs, at last the one with which it ended.

    There is nothing to follow, and no value, if no job of this id is visible, or it is visible no more.

    Args:
        db: A pool, or a connection outside of a transaction; of a pool, no connection is held between two reads.
        id: The job's id.
        interval: Seconds between two reads while the job changes. They become more while it does not.
        max_interval: The most seconds between two reads.
        retry_for: For how many seconds a database that cannot be reached is tried again before the error is raised. A
            connection that is closed is not tried again: a pool opens another one.

    Raises:
        UnavailableError: The database cannot be reached.
        BackupError: As from `backup_status`.
    """
    if not is_idle(db):
        raise ValueError(IN_TRANSACTION)
    watch = Watch(interval=interval, max_interval=max_interval, retry_for=retry_for)
    while True:
        try:
            status = await backup_status(db, id)
        except UnavailableError as error:
            watch.fail(error, is_lost=is_lost(db))
        else:
            if watch.take(status) and status is not None:
                yield status
        if watch.is_over:
            return
        await asyncio.sleep(watch.delay)

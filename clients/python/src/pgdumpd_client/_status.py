"""What is known of one job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ._statement import Known, Statement, columns, is_uuid, iso_time, json_rows, read

BackupOutcome = Literal["in_progress", "completed", "failed", "cancelled"]
"""What an application usually wants to know: whether it goes on, and how it ended."""
BackupState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""A job's state in the queue."""
JobKind = Literal["backup", "copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIn:
    """Where a backup is."""

    storage: str
    object_key: str
    size_bytes: int
    stored_at: datetime
    last_proved_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupStatus:
    """A row of `pgdumpd.backup_status`. Times are in UTC."""

    id: UUID
    target: str
    label: str | None
    kind: JobKind
    copy_of: UUID | None
    copy_to: str | None
    status: BackupOutcome
    state: BackupState
    attempt: int
    max_attempts: int
    rescues: int
    priority: int
    phase: str | None
    progress: float
    """Percent, 0 to 100; never falls within an attempt; 100 is success."""
    message: str | None
    current_table: str | None
    tables_done: int | None
    tables_total: int | None
    rows_done: int | None
    rows_expected: int | None
    bytes_dumped: int | None
    bytes_stored: int | None
    estimated_end: datetime | None
    seconds_left: float | None
    """Until `estimated_end`, by the database's clock, and never below 0."""
    queue_position: int | None
    """1 is next; 20 means 20 or more; None if the job is not queued or not due."""
    waits_because: str | None
    elapsed_seconds: float | None
    elapsed: str | None
    last_update: datetime
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    copies_stored: int
    copies_total: int
    copies: str
    stored_in: tuple[StoredIn, ...]
    warnings: tuple[str, ...]
    warnings_total: int
    error_step: str | None
    error_code: str | None
    error: str | None
    error_hint: str | None
    size_bytes: int | None
    sha256: str | None
    requested_by: str
    idempotency_key: str | None
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker_id: UUID | None
    worker_host: str | None
    lease_expires_at: datetime | None
    spec: dict[str, Any]
    """As it was asked for."""
    metadata: dict[str, Any]
    unserved: bool
    """Queued, and no daemon that is alive can do it: `waits_because` says why."""

    @property
    def has_ended(self) -> bool:
        """Whether the job will not change any more."""
        return self.state in ("succeeded", "failed", "cancelled")


_STORED_IN = f"""(
        SELECT coalesce(
            pg_catalog.json_agg(pg_catalog.json_build_object(
                'storage', s.storage, 'object_key', s.object_key, 'size_bytes', s.size_bytes,
                'stored_at', {iso_time("s.stored_at")}, 'last_proved_at', {iso_time("s.last_proved_at")})),
            '[]')
        FROM pg_catalog.jsonb_to_recordset(stored_in) AS s (
            storage pg_catalog.text, object_key pg_catalog.text, size_bytes bigint,
            stored_at pg_catalog.timestamptz, last_proved_at pg_catalog.timestamptz)
    )"""

_SECONDS_LEFT = """CASE WHEN finished_at IS NULL AND estimated_end IS NOT NULL
        THEN greatest(0, extract(epoch FROM estimated_end OPERATOR(pg_catalog.-) pg_catalog.statement_timestamp()))
    END"""

STATUS_COLUMNS = columns(BackupStatus, stored_in=_STORED_IN, seconds_left=_SECONDS_LEFT)

_STATUSES = json_rows(f"""
    SELECT {STATUS_COLUMNS}
    FROM pgdumpd.backup_status
    WHERE id OPERATOR(pg_catalog.=) ANY (%(ids)s::pg_catalog.uuid[])""")


def read_statuses(rows: list[Any]) -> list[BackupStatus]:
    """The statuses of rows that have `STATUS_COLUMNS`."""
    return [read(BackupStatus, row) for row in rows]


def statuses_statement(ids: Iterable[str | UUID]) -> Statement[list[BackupStatus]] | Known[list[BackupStatus]]:
    """Reads the jobs of those ids that exist."""
    uuids = [str(id) for id in ids if is_uuid(id)]
    return Statement(_STATUSES, {"ids": uuids}, read_statuses) if uuids else Known([])


def status_statement(id: str | UUID) -> Statement[BackupStatus | None] | Known[BackupStatus | None]:
    """Reads one job, if there is one."""
    if not is_uuid(id):
        return Known(None)
    return Statement(_STATUSES, {"ids": [str(id)]}, lambda rows: read(BackupStatus, rows[0]) if rows else None)

"""The jobs that are queued or running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ._statement import Statement, columns, json_rows, names, read
from ._status import JobKind


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredBackup:
    """A row of `pgdumpd.backup_monitoring`: a job that is queued or running. Times are in UTC."""

    id: UUID
    target: str
    kind: JobKind
    copy_of: UUID | None
    copy_to: str | None
    state: Literal["queued", "running"]
    phase: str | None
    progress: float
    copies: str
    queue_position: int | None
    waits_because: str | None
    requested_by: str
    last_update: datetime
    metadata: dict[str, Any]
    since: datetime
    """Running since, or waiting since."""
    worker_id: UUID | None
    worker_host: str | None
    worker_pid: int | None
    worker_last_seen_at: datetime | None
    lease_expires_at: datetime | None
    """If it is in the past, the job's daemon sends no heartbeats, and another one will take the job over."""
    unserved: bool


_MONITORING = json_rows(f"""
    SELECT {columns(MonitoredBackup)}
    FROM pgdumpd.backup_monitoring
    WHERE %(targets)s::pg_catalog.text[] IS NULL
        OR target OPERATOR(pg_catalog.=) ANY (%(targets)s::pg_catalog.text[])
    -- What runs, then what waits longest. The name alone would mean the text in the list above.
    ORDER BY backup_monitoring.state DESC, backup_monitoring.since, backup_monitoring.id
    LIMIT %(limit)s::bigint""")


def monitoring_statement(*, targets: Sequence[str] | None, limit: int) -> Statement[list[MonitoredBackup]]:
    """Reads the jobs that are queued or running."""
    values = {"targets": names(targets), "limit": max(limit, 1)}
    return Statement(_MONITORING, values, lambda rows: [read(MonitoredBackup, row) for row in rows])

"""The history: pages of jobs, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ._statement import Known, Statement, is_uuid, json_rows, names
from ._status import STATUS_COLUMNS, BackupState, BackupStatus, JobKind, read_statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class PageKey:
    """Where a page ends: the next one begins after this job."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPage:
    """One page of jobs, newest first."""

    backups: tuple[BackupStatus, ...]
    next: PageKey | None
    """Give it as `after` for the next page; None if there is none."""


_CONDITIONS = {
    "targets": "target OPERATOR(pg_catalog.=) ANY (%(targets)s::pg_catalog.text[])",
    "state": "state OPERATOR(pg_catalog.=) %(state)s::pg_catalog.text",
    "label": "label OPERATOR(pg_catalog.=) %(label)s::pg_catalog.text",
    "kind": "kind OPERATOR(pg_catalog.=) %(kind)s::pg_catalog.text",
    "copy_of": "copy_of OPERATOR(pg_catalog.=) %(copy_of)s::pg_catalog.uuid",
    "after_id": "(created_at, id) OPERATOR(pg_catalog.<)"
    " (%(after_created_at)s::pg_catalog.timestamptz, %(after_id)s::pg_catalog.uuid)",
}


def list_statement(
    *,
    targets: Sequence[str] | None,
    state: BackupState | None,
    label: str | None,
    kind: JobKind | None,
    copy_of: str | UUID | None,
    limit: int,
    after: PageKey | None,
) -> Statement[BackupPage] | Known[BackupPage]:
    """Reads one page."""
    if copy_of is not None and not is_uuid(copy_of):
        return Known(BackupPage(backups=(), next=None))
    limit = min(max(limit, 1), 1000)
    values: dict[str, Any] = {
        "targets": names(targets),
        "state": state,
        "label": label,
        "kind": kind,
        "copy_of": None if copy_of is None else str(copy_of),
        "after_id": None if after is None else str(after.id),
        "after_created_at": None if after is None else after.created_at.isoformat(),
        # One more shows whether there is another page.
        "limit": limit + 1,
    }
    # Each condition is left out, not made true by NULL, so that the server can plan for the ones that are there.
    conditions = " AND ".join(text for name, text in _CONDITIONS.items() if values[name] is not None)
    text = json_rows(f"""
        SELECT {STATUS_COLUMNS}
        FROM pgdumpd.backup_status
        {conditions and f"WHERE {conditions}"}
        -- The id decides between jobs of one instant, so that a page reads the same twice.
        ORDER BY backup_status.created_at DESC, backup_status.id DESC
        LIMIT %(limit)s::bigint""")
    return Statement(text, values, lambda rows: _page(read_statuses(rows), limit))


def _page(found: list[BackupStatus], limit: int) -> BackupPage:
    backups = tuple(found[:limit])
    next = PageKey(created_at=backups[-1].created_at, id=backups[-1].id) if len(found) > limit else None
    return BackupPage(backups=backups, next=next)

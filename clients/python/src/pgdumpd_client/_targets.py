"""What can be backed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ._statement import Statement, columns, json_rows, names, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target that can be asked for, or that has a backup."""

    target: str
    daemons: int
    """How many daemons that are alive serve it; with 0, a backup of it waits."""
    last_success_id: UUID | None
    """Its newest backup that the session's user may see."""
    last_success_at: datetime | None


_TARGETS = json_rows(f"""
    SELECT {columns(Target, target="known.target", daemons="coalesce(known.daemons, 0)")}
    FROM (
        SELECT coalesce(served.target, stored.target) AS target, daemons, last_success_id, last_success_at
        FROM pgdumpd.served_targets AS served
        -- USING would take the operator of the search_path.
        FULL JOIN pgdumpd.target_status AS stored ON served.target OPERATOR(pg_catalog.=) stored.target
    ) AS known
    WHERE %(targets)s::pg_catalog.text[] IS NULL
        OR known.target OPERATOR(pg_catalog.=) ANY (%(targets)s::pg_catalog.text[])
    ORDER BY known.target""")


def targets_statement(*, targets: Sequence[str] | None) -> Statement[list[Target]]:
    """Reads the targets that a daemon serves or that have a backup, by name."""
    return Statement(_TARGETS, {"targets": names(targets)}, lambda rows: [read(Target, row) for row in rows])

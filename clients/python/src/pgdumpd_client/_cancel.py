"""A cancel of a job."""

from __future__ import annotations

from typing import Literal, cast
from uuid import UUID

from ._statement import Known, Statement, is_uuid

Cancelled = Literal["cancelled", "cancelling", "already_succeeded", "already_failed", "already_cancelled", "not_found"]
"""What a cancel did. `cancelled`: it was queued, and has now ended. `cancelling`: it is running, and its daemon stops
it. `already_…`: it had ended before. `not_found`: no such job, or another role's."""

_CANCEL = "SELECT pg_catalog.to_json(pgdumpd.cancel_backup(%(id)s::pg_catalog.uuid))::pg_catalog.text"


def cancel_statement(id: str | UUID) -> Statement[Cancelled] | Known[Cancelled]:
    """Cancels a job, if there is one."""
    if not is_uuid(id):
        return Known("not_found")
    return Statement(_CANCEL, {"id": str(id)}, lambda rows: cast(Cancelled, rows[0]), writes=True)

"""A request for a backup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID, uuid4

from ._errors import InvalidRequestError
from ._statement import Statement, json_rows, read, to_json


class BackupSpec(TypedDict, total=False):
    """What a backup contains, if not everything: lists of `pg_dump`'s patterns."""

    schemas: Sequence[str]
    exclude_schemas: Sequence[str]
    tables: Sequence[str]
    exclude_tables: Sequence[str]
    exclude_table_data: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """The job that a request has now."""

    id: UUID
    is_new: bool
    """False if the id, or the idempotency key, belongs to an earlier job of yours: `id` is then that job's."""


_ENQUEUE = json_rows("""
    SELECT job_id AS id, is_new
    FROM pgdumpd.enqueue_backup(
        target => %(target)s::pg_catalog.text,
        spec => %(spec)s::pg_catalog.jsonb,
        priority => %(priority)s::integer,
        run_at => %(run_at)s::pg_catalog.timestamptz,
        idempotency_key => %(idempotency_key)s::pg_catalog.text,
        max_attempts => %(max_attempts)s::integer,
        timeout => pg_catalog.make_interval(secs => %(timeout_seconds)s::double precision),
        id => %(id)s::pg_catalog.uuid,
        metadata => %(metadata)s::pg_catalog.jsonb,
        trace_parent => %(trace_parent)s::pg_catalog.text)""")


def enqueue_statement(
    *,
    target: str,
    id: str | UUID | None,
    label: str | None,
    spec: BackupSpec | None,
    priority: int | None,
    run_at: datetime | None,
    idempotency_key: str | None,
    max_attempts: int | None,
    timeout: timedelta | None,
    metadata: Mapping[str, Any] | None,
    trace_parent: str | None,
) -> Statement[Enqueued]:
    """Enqueues a backup."""
    if run_at is not None and run_at.utcoffset() is None:
        raise InvalidRequestError(
            f"run_at {run_at.isoformat()} has no time zone",
            hint="Give it one, such as `datetime.now(timezone.utc)` has.",
        )
    # The label is a member of the spec.
    members = {**(spec or {}), **({} if label is None else {"label": label})}
    values = {
        "target": target,
        "spec": to_json("spec", members),
        "priority": priority,
        "run_at": None if run_at is None else run_at.isoformat(),
        "idempotency_key": idempotency_key,
        "max_attempts": max_attempts,
        "timeout_seconds": None if timeout is None else timeout.total_seconds(),
        "id": str(uuid4() if id is None else id),
        "metadata": to_json("metadata", dict(metadata or {})),
        "trace_parent": trace_parent,
    }
    return Statement(_ENQUEUE, values, lambda rows: read(Enqueued, rows[0]), writes=True)

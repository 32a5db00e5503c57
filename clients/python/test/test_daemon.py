"""With a daemon: what becomes of a backup."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from pgdumpd_client import BackupStatus
from service import Service, eventually
from ways import Client


def ended(client: Client, id: UUID) -> BackupStatus:
    *_, last = client.watch_backup(id, interval=0.05)
    assert isinstance(last, BackupStatus)
    assert last.has_ended
    return last


def test_a_backup_is_enqueued_under_the_callers_id_and_succeeds(served: Client, service: Service) -> None:
    id = uuid4()
    metadata = {"user": 7, "nested": {"snake_case": [1, None, 0.5, "ü"]}}
    began = datetime.now(timezone.utc)
    enqueued = served.enqueue_backup(service.target, id=id, label="by hand", metadata=metadata)
    assert (enqueued.id, enqueued.is_new) == (id, True)
    status = ended(served, id)
    assert (status.state, status.status, status.error) == ("succeeded", "completed", None)
    assert (status.id, status.target, status.label, status.metadata) == (id, service.target, "by hand", metadata)
    assert status.progress == 100
    assert isinstance(status.progress, float)
    assert isinstance(status.elapsed_seconds, float)
    assert (status.tables_done, status.tables_total, status.rows_done) == (1, 1, 1000)
    for size in (status.bytes_dumped, status.bytes_stored, status.size_bytes):
        assert isinstance(size, int)
        assert size > 0
    assert re.fullmatch("[0-9a-f]{64}", status.sha256 or "")
    for time in (status.created_at, status.run_at, status.started_at, status.finished_at, status.last_update):
        assert time is not None
        assert time.utcoffset() == timedelta(0)
        assert abs(time - began) < timedelta(minutes=5)
    [stored] = status.stored_in
    assert stored.size_bytes == status.size_bytes
    assert stored.stored_at.utcoffset() == timedelta(0)
    assert (status.copies_stored, status.copies_total, status.warnings) == (1, 1, ())
    assert isinstance(status.worker_id, UUID)
    [target] = served.targets()
    assert (target.target, target.daemons, target.last_success_id) == (service.target, 1, id)
    assert target.last_success_at == status.finished_at
    assert served.targets(targets=["another"]) == []


def test_a_running_backup_is_cancelled(served: Client, service: Service) -> None:
    with service.held_dumps():
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        id = served.enqueue_backup(service.target, metadata={"user": 7}, trace_parent=trace).id
        row = service.owner.execute("SELECT trace_parent FROM pgdumpd.backup_jobs WHERE id = %s", [id]).fetchone()
        assert row == (trace,)

        def running() -> Any:
            jobs = served.monitoring(targets=[service.target])
            return next((job for job in jobs if job.id == id and job.state == "running"), None)

        job = eventually("it runs", running)
        assert isinstance(job.worker_pid, int)
        assert job.worker_last_seen_at.utcoffset() == timedelta(0)
        assert job.metadata == {"user": 7}
        assert served.cancel_backup(str(id)) == "cancelling"
        status = ended(served, id)
        assert (status.state, status.cancel_requested_by) == ("cancelled", service.target)
        assert served.cancel_backup(id) == "already_cancelled"


def test_a_failed_backup_has_its_error_with_the_hint(served: Client, service: Service) -> None:
    spec = {"tables": ["public.absent"]}
    status = ended(served, served.enqueue_backup(service.target, spec=spec, max_attempts=1).id)
    assert status.status == "failed"
    assert "absent" in (status.error or "")
    assert status.error_hint
    assert status.error_code
    assert status.error_step
    assert status.spec == spec


def test_a_watch_shows_each_change_once_and_ends_with_the_end(served: Client, service: Service) -> None:
    with service.held_dumps():
        id = served.enqueue_backup(service.target).id
        watch = served.watch_backup(id, interval=0.02)
        seen = [next(watch)]
        while seen[-1].state != "running":
            seen.append(next(watch))
        assert served.cancel_backup(id) == "cancelling"
        seen.extend(watch)
    assert [status.state for status in seen if status.has_ended] == ["cancelled"]
    assert seen[-1].state == "cancelled"
    for earlier, later in pairwise(seen):
        before, after = asdict(earlier), asdict(later)
        changed = {name for name in before if before[name] != after[name]}
        assert changed - {"elapsed", "elapsed_seconds", "seconds_left", "lease_expires_at"}
    # It is over at once for a job that has ended, and for an id that has none.
    assert [status.state for status in served.watch_backup(id)] == ["cancelled"]
    assert list(served.watch_backup("temp_123")) == []
    assert list(served.watch_backup(uuid4())) == []


@pytest.mark.parametrize("label", ['it\'s "quoted"', "two\nlines\tand \\", "naïve 日本語 🐘", "%s %(id)s {} $1 :x"])
def test_hostile_texts_come_back_as_they_were(served: Client, service: Service, label: str) -> None:
    key = f"{label} {uuid4()}"
    metadata = {label: [label, {"\u2028": label}]}
    id = served.enqueue_backup(service.target, label=label, idempotency_key=key, metadata=metadata).id
    status = ended(served, id)
    assert (status.state, status.label, status.idempotency_key) == ("succeeded", label, key)
    assert status.metadata == metadata
    [listed] = served.list_backups(label=label, limit=1).backups
    assert listed.id == id

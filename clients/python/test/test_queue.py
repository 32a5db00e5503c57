"""Without a daemon: what the functions take, return and refuse."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

import pgdumpd_client
from pgdumpd_client import (
    BackupError,
    BackupPage,
    BackupStatus,
    DeniedError,
    IdTakenError,
    InvalidRequestError,
    NotMigratedError,
    QuotaError,
    UnavailableError,
)
from service import Service, environment, eventually
from ways import CONNECTIONS, WAYS, Client, Clients


def test_an_id_that_is_unknown_temporary_or_empty_is_a_value(client: Client) -> None:
    for id in (uuid4(), str(uuid4()), "temp_123", "", "'; --", f"{uuid4()}0", f"{uuid4()}\n", "\0", "\uff11" * 36):
        assert client.backup_status(id) is None
        assert client.cancel_backup(id) == "not_found"
        assert client.backup_statuses([id]) == []
    assert client.backup_statuses([]) == []


def test_a_job_that_nobody_serves_waits_and_says_why(client: Client, queue: Service) -> None:
    far = datetime(2106, 2, 7, 12, 13, 16, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    later = client.enqueue_backup("waits", run_at=far)
    status = client.backup_status(str(later.id).upper())
    assert (status.run_at, status.run_at.utcoffset()) == (far, timedelta(0))
    assert client.cancel_backup(later.id) == "cancelled"
    due = client.enqueue_backup("waits", priority=1, timeout=timedelta(seconds=90, milliseconds=500))
    status = client.backup_status(due.id)
    assert (status.state, status.unserved, status.priority) == ("queued", True, 1)
    assert status.waits_because == 'no daemon serves target "waits"'
    assert status.queue_position == 1
    assert (status.progress, status.elapsed_seconds, status.rows_done) == (0, None, None)
    assert not status.has_ended
    [timeout] = queue.owner.execute("SELECT timeout::text FROM pgdumpd.backup_jobs WHERE id = %s", [due.id])
    assert timeout == ("00:01:30.5",)
    [monitored] = client.monitoring(targets=["waits"])
    assert (monitored.id, monitored.state, monitored.unserved) == (due.id, "queued", True)
    assert monitored.since == max(status.run_at, status.created_at)
    assert client.monitoring(targets=[]) == []
    assert len(client.monitoring(limit=-1)) == 1
    assert client.cancel_backup(due.id) == "cancelled"


def test_the_same_id_or_key_again_is_the_same_job(client: Client) -> None:
    id = uuid4()
    assert client.enqueue_backup("same", id=id).is_new
    again = client.enqueue_backup("same", id=str(id))
    assert (again.id, again.is_new) == (id, False)
    key = str(uuid4())
    first = client.enqueue_backup("same", idempotency_key=key)
    again = client.enqueue_backup("same", idempotency_key=key)
    assert (again.id, again.is_new) == (first.id, False)


@pytest.mark.parametrize("way", CONNECTIONS)
def test_a_backup_and_its_cancel_are_part_of_the_callers_transaction(clients: Clients, way: str) -> None:
    client, other = clients.make(way), clients.make("sync autocommit")
    id = client.enqueue_backup("transaction").id
    assert client.backup_status(id).state == "queued"
    assert other.backup_status(id) is None
    client.execute("ROLLBACK")
    assert client.backup_status(id) is None
    client.enqueue_backup("transaction", id=id)
    client.execute("COMMIT")
    assert other.backup_status(id).state == "queued"
    assert client.cancel_backup(id) == "cancelled"
    assert other.backup_status(id).state == "queued"
    client.execute("COMMIT")
    assert other.backup_status(id).state == "cancelled"


@pytest.mark.parametrize("way", CONNECTIONS)
def test_a_read_leaves_no_transaction_open(clients: Clients, way: str) -> None:
    client = clients.make(way)
    id = clients.make("sync pool").enqueue_backup("reads").id
    reads: list[Callable[[], Any]] = [
        lambda: client.backup_status(id),
        client.list_backups,
        client.monitoring,
        client.targets,
        lambda: next(client.watch_backup(id)),
    ]
    for read in reads:
        read()
        assert client.db.info.transaction_status == TransactionStatus.IDLE
    # A transaction of the caller's goes on.
    client.execute("BEGIN")
    assert client.backup_status(id)
    assert client.db.info.transaction_status == TransactionStatus.INTRANS
    with pytest.raises(ValueError, match="is in a transaction"):
        next(client.watch_backup(id))


def test_pages_show_every_job_once_while_others_are_enqueued(client: Client, queue: Service) -> None:
    target = f"pages {uuid4()}"
    ids = {client.enqueue_backup(target, label=str(n)).id for n in range(7)}
    ids |= {client.enqueue_backup(target).id for _ in range(2)}
    # Seven of one instant, and two that differ by a microsecond: a page's key has to be as exact as the column.
    queue.owner.execute(
        """
        UPDATE pgdumpd.backup_jobs
        SET created_at = date_trunc('hour', created_at) + CASE WHEN spec ? 'label' THEN '1 us' ELSE '2 us' END::interval
        WHERE target = %s
        """,
        [target],
    )
    seen: list[UUID] = []
    page: BackupPage | None = None
    while page is None or page.next is not None:
        page = client.list_backups(targets=[target], limit=2, after=None if page is None else page.next)
        assert len(page.backups) <= 2
        seen.extend(backup.id for backup in page.backups)
        client.enqueue_backup(target)
    assert len(seen) == 9
    assert set(seen) == ids


def test_a_list_has_filters_and_takes_a_hostile_limit(client: Client) -> None:
    target = f"filters {uuid4()}"
    wanted = client.enqueue_backup(target, label="x")
    client.enqueue_backup(target)
    client.cancel_backup(wanted.id)

    def listed(**filters: Any) -> list[UUID]:
        return [backup.id for backup in client.list_backups(**{"targets": [target], **filters}).backups]

    assert listed(label="x") == [wanted.id]
    assert listed(state="cancelled") == [wanted.id]
    assert listed(kind="copy") == []
    assert len(listed(kind=None, limit=-5)) == 1
    assert listed(copy_of="temp_1") == []
    assert listed(copy_of=wanted.id) == []
    assert listed(targets=[]) == []
    assert len(listed(limit=10**9)) == 2
    # An array of its letters would find nothing, and be no error.
    with pytest.raises(TypeError):
        listed(targets=target)


def test_an_error_has_its_type_sqlstate_message_and_hint(client: Client, queue: Service) -> None:
    with pytest.raises(InvalidRequestError) as malformed:
        client.enqueue_backup("x", priority=9)
    error = malformed.value
    assert (error.kind, error.sqlstate, str(error)) == ("invalid", "23514", "priority 9 is out of range")
    assert error.hint == "Priorities are 1 (first) to 5 (last); 3 is the default."
    assert isinstance(error.__cause__, psycopg.errors.CheckViolation)
    with pytest.raises(InvalidRequestError, match="tabels"):
        client.enqueue_backup("x", spec={"tabels": ["x"]})
    id = client.enqueue_backup("x").id
    with pytest.raises(IdTakenError) as taken:
        client.enqueue_backup("y", id=id)
    assert (taken.value.kind, taken.value.sqlstate) == ("id_taken", "23505")
    none = f"INSERT INTO pgdumpd.quotas (requested_by, queued_jobs) VALUES ('{queue.target}', 0)"
    any_number = f"DELETE FROM pgdumpd.quotas WHERE requested_by = '{queue.target}'"
    with queue.changed(none, any_number), pytest.raises(QuotaError) as quota:
        client.enqueue_backup("x")
    assert (quota.value.kind, quota.value.sqlstate) == ("quota", "53400")


@pytest.mark.parametrize(
    "request_",
    [
        {"id": "temp_123"},
        {"target": ""},
        {"target": "a\0b"},
        {"target": "half a pair \ud800"},
        {"label": "half a pair \ud800"},
        {"label": "a\0b"},
        {"trace_parent": "00-1-2-3"},
        {"metadata": {"a": float("nan")}},
        {"metadata": {"a": "\0"}},
        {"metadata": {"a": "x" * 17_000}},
        {"run_at": datetime(2030, 1, 1)},  # noqa: DTZ001 # without a time zone
        {"run_at": datetime(1, 1, 1, tzinfo=timezone.utc)},
        {"timeout": timedelta.max},
        {"timeout": timedelta(0)},
        {"priority": 2**40},
        {"max_attempts": -1},
        {"spec": {"tables": "public.orders"}},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused_as_invalid(client: Client, request_: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        client.enqueue_backup(**{"target": "x", **request_})
    assert refused.value.message


def test_no_queue_no_rights_and_no_server_are_told_apart(clients: Clients, client: Client, queue: Service) -> None:
    elsewhere = Clients(environment("PGDUMPD_TEST_DATABASE_URL"))
    with pytest.raises(NotMigratedError, match="pgdumpd") as nowhere:
        elsewhere.make("sync autocommit").backup_status(uuid4())
    assert "pgdumpd migrate" in (nowhere.value.hint or "")
    elsewhere.close()
    revoke, grant = (f"SELECT pgdumpd.{word}('{queue.target}')" for word in ("revoke_role", "grant_producer"))
    with queue.changed(revoke, grant), pytest.raises(DeniedError) as denied:
        client.targets()
    assert "--grant-producer" in (denied.value.hint or "")
    closed = clients.make("sync autocommit")
    closed.db.close()
    pool = ConnectionPool("host=/nonexistent", open=False, min_size=0, max_size=1, timeout=0.1)
    for lost in (lambda: closed.monitoring(), lambda: pgdumpd_client.monitoring(pool)):
        with pytest.raises(UnavailableError) as unavailable:
            lost()
        assert (unavailable.value.kind, unavailable.value.sqlstate) == ("unavailable", None)
        assert unavailable.value.message


def test_a_password_is_in_no_error(queue: Service) -> None:
    url = f"host=/nonexistent user=x password=hunter2 dbname={queue.target}"
    pool = ConnectionPool(url, open=False, min_size=0, max_size=1, timeout=0.2, reconnect_timeout=0)
    with pool, pytest.raises(BackupError) as error:
        pgdumpd_client.targets(pool)
    assert "hunter2" not in "".join(traceback.format_exception(error.value)) + str(error.value.hint)


@pytest.mark.parametrize("way", WAYS)
def test_an_applications_own_session_changes_nothing(clients: Clients, queue: Service, way: str) -> None:
    """Rows as dicts, cursors with other placeholders, loaders, time zone, date style, search_path."""
    target = f"session {uuid4()}"
    known = clients.make("sync autocommit")
    id = known.enqueue_backup(target, label="x", metadata={"at": "2026-01-01"}).id
    expected = known.backup_status(id)
    is_async = way.startswith("async")
    settings = {
        "row_factory": dict_row,
        "cursor_factory": psycopg.AsyncRawCursor if is_async else psycopg.RawCursor,
        "options": "-c timezone=Asia/Kathmandu -c datestyle=sql,dmy -c intervalstyle=iso_8601 -c search_path="
        "hostile,pg_catalog",
    }
    queue.owner.execute(HOSTILE)
    try:
        hostile = clients.make(way, **settings)
        assert hostile.backup_status(id) == expected
        assert hostile.backup_statuses([id]) == [expected]
        page = hostile.list_backups(
            targets=[target],
            state="queued",
            label="x",
            kind="backup",
            limit=1,
            after=pgdumpd_client.PageKey(created_at=expected.created_at + timedelta(seconds=1), id=id),
        )
        assert page.backups == (expected,)
        assert [job.id for job in hostile.monitoring(targets=[target])] == [id]
        assert hostile.targets(targets=[target]) == []
        new = hostile.enqueue_backup(target, run_at=datetime.now(timezone.utc), timeout=timedelta(seconds=5))
        assert next(iter(hostile.watch_backup(new.id))).state == "queued"
        assert hostile.cancel_backup(new.id) == "cancelled"
        called = queue.owner.execute("SELECT is_called FROM hostile.calls").fetchone()
        assert called == (False,)
    finally:
        queue.owner.execute("DROP SCHEMA hostile CASCADE")


HOSTILE = """
CREATE SCHEMA hostile;
CREATE SEQUENCE hostile.calls;
-- Whatever a statement uses without its schema; each counts that it was called.
CREATE FUNCTION hostile.count() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS
    $$ SELECT pg_catalog.nextval('hostile.calls') > 0 $$;
CREATE FUNCTION hostile.to_char(timestamp, text) RETURNS text LANGUAGE sql AS
    $$ SELECT CASE WHEN hostile.count() THEN 'hostile' END $$;
CREATE FUNCTION hostile.row_to_json(record) RETURNS json LANGUAGE plpgsql AS
    $$ BEGIN RETURN CASE WHEN hostile.count() THEN '{}'::json END; END $$;
CREATE FUNCTION hostile.to_json(text) RETURNS json LANGUAGE sql AS
    $$ SELECT CASE WHEN hostile.count() THEN '"hostile"'::json END $$;
CREATE FUNCTION hostile.make_interval(secs double precision) RETURNS interval LANGUAGE sql AS
    $$ SELECT CASE WHEN hostile.count() THEN '1 day'::interval END $$;
CREATE FUNCTION hostile.statement_timestamp() RETURNS timestamptz LANGUAGE sql AS
    $$ SELECT CASE WHEN hostile.count() THEN '2000-01-01'::timestamptz END $$;
CREATE FUNCTION hostile.same(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT hostile.count() $$;
CREATE FUNCTION hostile.same(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT hostile.count() $$;
CREATE FUNCTION hostile.same(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS $$ SELECT hostile.count() $$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.same);
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.same);
CREATE OPERATOR hostile.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.same);
CREATE OPERATOR hostile.< (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.same);
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (hostile.count());
CREATE DOMAIN hostile.uuid AS pg_catalog.uuid CHECK (hostile.count());
CREATE DOMAIN hostile.jsonb AS pg_catalog.jsonb CHECK (hostile.count());
CREATE DOMAIN hostile.timestamptz AS pg_catalog.timestamptz CHECK (hostile.count());
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
"""


@pytest.mark.parametrize("way", WAYS)
def test_a_role_sees_and_cancels_its_own_jobs_alone(clients: Clients, queue: Service, way: str) -> None:
    mine = clients.make("sync autocommit").enqueue_backup("rights").id
    stranger = Clients(queue.add_role(f"other_{uuid4().hex[:12]}"))
    try:
        other = stranger.make(way)
        assert other.backup_status(mine) is None
        assert other.cancel_backup(mine) == "not_found"
        assert other.list_backups().backups == ()
        assert other.monitoring() == []
        assert other.targets() == []
        assert list(other.watch_backup(mine)) == []
        with pytest.raises(IdTakenError):
            other.enqueue_backup("rights", id=mine)
        own = other.enqueue_backup("rights").id
        assert [backup.id for backup in other.list_backups().backups] == [own]
    finally:
        stranger.close()


def test_a_watch_of_a_pool_goes_on_after_its_connections_were_ended(clients: Clients, queue: Service) -> None:
    id = clients.make("sync autocommit").enqueue_backup("interrupted").id
    for way in ("sync pool", "async pool"):
        client = clients.make(way)
        watch = client.watch_backup(id, interval=0.01)
        assert next(watch).state == "queued"
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
        # Its connections find out by the next statement.
        assert queue.owner.execute(end, [queue.target]).rowcount >= 1
        priority = queue.owner.execute(
            "UPDATE pgdumpd.backup_jobs SET run_at = run_at + '1 s' WHERE id = %s RETURNING run_at", [id]
        ).fetchone()
        assert priority is not None
        seen: BackupStatus = next(watch)
        assert seen.run_at == priority[0]


@pytest.mark.parametrize("way", ["sync autocommit", "async autocommit"])
def test_a_watch_of_a_connection_that_was_ended_raises(clients: Clients, queue: Service, way: str) -> None:
    client = clients.make(way)
    id = client.enqueue_backup("interrupted").id
    watch = client.watch_backup(id, interval=0.01, retry_for=20)
    next(watch)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
    queue.owner.execute(end, [queue.target])
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        next(watch)
    assert time.monotonic() - began < 10


def test_a_watch_of_a_server_that_does_not_come_back_raises_in_time() -> None:
    with ConnectionPool("host=/nonexistent", open=False, min_size=0, max_size=1, timeout=0.05) as pool:
        watch = pgdumpd_client.watch_backup(pool, uuid4(), interval=0.01, retry_for=0.2)
        with pytest.raises(UnavailableError):
            next(watch)


def test_a_cancel_that_another_transaction_holds_up_is_busy(clients: Clients) -> None:
    id = clients.make("sync autocommit").enqueue_backup("busy").id
    holder = clients.make("sync connection")
    holder.cancel_backup(id)
    with pytest.raises(pgdumpd_client.BusyError) as busy:
        clients.make("async pool").cancel_backup(id)
    assert (busy.value.kind, busy.value.sqlstate) == ("busy", "55P03")
    holder.execute("COMMIT")
    assert eventually("it is cancelled", lambda: holder.backup_status(id).state == "cancelled" or None)

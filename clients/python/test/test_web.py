"""The answers of a web application's routes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import psycopg
import pytest

from pgdumpd_client import (
    BackupStatus,
    InvalidRequestError,
    NotMigratedError,
    QuotaError,
    UnavailableError,
    backup_status,
    cancel_backup,
    enqueue_backup,
    list_backups,
    monitoring,
    targets,
    watch_backup,
    web,
)
from service import Service, eventually


@pytest.fixture
def connection(service: Service) -> Any:
    with psycopg.connect(service.application_url, autocommit=True) as connection:
        yield connection


def test_the_answers_are_those_of_the_typescript_package(connection: Any, service: Service) -> None:
    compiled = os.environ.get("PGDUMPD_TEST_TYPESCRIPT")
    if compiled is None:
        assert "CI" not in os.environ, "there is no Node, or no compiled clients/typescript"
        pytest.skip("there is no Node: run script/bootstrap")
    target = service.target

    def ended(id: Any) -> BackupStatus:
        *_, last = watch_backup(connection, id, interval=0.05)
        return last

    succeeded = ended(enqueue_backup(connection, target, label='a "label"', metadata={"user": 7}).id)
    failed = ended(enqueue_backup(connection, target, spec={"tables": ["public.absent"]}, max_attempts=1).id)
    waiting = enqueue_backup(connection, "nobody's", label="ü\n")
    with service.held_dumps():
        running = enqueue_backup(connection, target)

        def reads() -> bool | None:
            status = backup_status(connection, running.id)
            return (status is not None and status.state == "running") or None

        eventually("it runs", reads)
        stopped = enqueue_backup(connection, target, run_at=succeeded.created_at + timedelta(days=1))
        assert cancel_backup(connection, stopped.id) == "cancelled"
        ids = [succeeded.id, failed.id, waiting.id, stopped.id, running.id]
        command: list[str | Path] = [
            "node",
            Path(__file__).with_name("answers.mjs"),
            compiled,
            service.application_url,
            *map(str, ids),
        ]

        def same() -> bool | None:
            """Whether both read the same; what runs may change between them."""
            before = [web.answer_of(status) for id in ids if (status := backup_status(connection, id))]
            theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            after = [web.answer_of(status) for id in ids if (status := backup_status(connection, id))]
            if [web.etag_of(answer) for answer in before] != [web.etag_of(answer) for answer in after]:
                return None
            compare(theirs, after)
            return True

        def compare(theirs: Any, ours: list[web.BackupAnswer]) -> None:
            assert [timeless(answer) for answer in theirs["answers"]] == [timeless(answer) for answer in ours]
            assert theirs["waiting"] == web.waiting_answer("temp_123")
            page = list_backups(connection, limit=2)
            listed = json.loads(json.dumps(web.list_answer(page)))
            assert [*map(timeless, theirs["list"].pop("backups"))] == [*map(timeless, listed.pop("backups"))]
            assert theirs["list"] == listed
            found = web.monitoring_answer(monitoring(connection), targets(connection))
            for one in (*theirs["monitoring"]["backups"], *found["backups"]):
                # Heartbeats.
                del one["workerLastSeenAt"], one["leaseExpiresAt"]
            assert theirs["monitoring"] == found
            unknown = "there is no backup 00000000-0000-4000-8000-000000000000"
            assert theirs["unknown"] == web.problem("unknown-backup", unknown)
            assert web.page_key(theirs["list"]["next"]) == page.next

        eventually("nothing changes while both read", same)
        cancel_backup(connection, running.id)
        cancel_backup(connection, waiting.id)
        ended(running.id)


def timeless(answer: Any) -> Any:
    return {**answer, "elapsedTime": None, "timeLeft": None}


def test_an_answer_has_what_its_type_names(connection: Any) -> None:
    status = backup_status(connection, enqueue_backup(connection, "types").id)
    assert status is not None
    names = list(get_type_hints(web.BackupAnswer))
    assert list(web.answer_of(status)) == names
    assert list(web.waiting_answer("temp_1")) == names
    cancel_backup(connection, status.id)


def test_progress_is_rounded_down_and_times_have_words(connection: Any) -> None:
    status = backup_status(connection, enqueue_backup(connection, "rounding").id)
    assert status is not None
    near = dataclasses.replace(status, progress=99.99, elapsed_seconds=3723.9, seconds_left=59.9, state="running")
    answer = web.answer_of(near)
    assert answer["progress"] == 99.9
    assert answer["elapsedTime"] == {"total": 3723, "formatted": "1:02:03"}
    assert answer["timeLeft"] == {"total": 59, "formatted": "0:59"}
    assert answer["message"] == "Running"
    # The ETag is the same while time passes, and another one when something happens.
    later = dataclasses.replace(near, elapsed_seconds=3724.9, seconds_left=1.0)
    assert web.etag_of(web.answer_of(later)) == web.etag_of(answer)
    assert web.etag_of(web.answer_of(dataclasses.replace(near, progress=99.8))) != web.etag_of(answer)
    cancel_backup(connection, status.id)


def test_an_error_is_a_problem_and_only_the_askers_is_shown() -> None:
    shown = web.problem_of(InvalidRequestError("priority 9 is out of range", sqlstate="23514", hint="Take 3."))
    assert (shown["status"], shown["detail"], shown["hint"]) == (422, "priority 9 is out of range", "Take 3.")
    assert web.problem_of(QuotaError("too many"))["status"] == 429
    for error in (NotMigratedError("no table secret"), UnavailableError("no route to secret")):
        hidden = web.problem_of(error)
        assert hidden["status"] >= 500
        assert "secret" not in json.dumps(hidden)


@pytest.mark.parametrize("cursor", ["", "x", "=", "é", "AAAA", "MjAyNg", "\0", "a" * 10_000])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="cursor"):
        web.page_key(cursor)

"""`examples/fastapi`: the routes that the React component asks."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient

from documents import REPOSITORY
from pgdumpd_client import enqueue_backup
from service import Service, eventually


@pytest.fixture(scope="module")
def application(service: Service) -> Iterator[TestClient]:
    os.environ.update(DATABASE_URL=service.application_url, TARGET=service.target)
    spec = importlib.util.spec_from_file_location("fastapi_example", REPOSITORY / "examples/fastapi/app.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with TestClient(example.app) as client:
        yield client


def problem(response: Any, status: int, word: str) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert (body["success"], body["status"], body["type"]) == (False, status, f"urn:pgdumpd:problem:{word}")
    assert body["title"]
    assert body["detail"]
    return body


def test_a_backup_is_created_shown_to_its_end_and_listed(application: TestClient) -> None:
    id = str(uuid4())
    created = application.post("/api/backup/create", json={"id": id, "label": "by hand"})
    assert created.status_code == 202
    assert created.headers["Location"] == f"/api/backup/status/{id}"
    assert (created.json()["id"], created.json()["status"]) == (id, "in_progress")
    # A lost answer is asked for again.
    assert application.post("/api/backup/create", json={"id": id, "label": "by hand"}).json()["id"] == id

    def end() -> Any:
        response = application.get(f"/api/backup/status/{id}")
        assert response.status_code == 200
        return response if response.json()["status"] != "in_progress" else None

    ended = eventually("it has ended", end)
    answer = ended.json()
    assert (answer["status"], answer["progress"], answer["label"]) == ("completed", 100, "by hand")
    again = application.get(f"/api/backup/status/{id}", headers={"If-None-Match": ended.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    first = application.get("/api/backup", params={"limit": 1, "state": "succeeded"}).json()
    assert first["backups"] == [answer]
    assert application.post(f"/api/backup/cancel/{id}").json() == {**answer, "cancel": "ended_before"}


def test_pages_go_on_at_the_cursor(application: TestClient) -> None:
    for _ in range(3):
        application.post("/api/backup/create", json={})
    ids: list[str] = []
    cursor = None
    while not ids or cursor:
        page = application.get("/api/backup", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        ids += [backup["id"] for backup in page["backups"]]
        cursor = page["next"]
    assert len(ids) == len(set(ids)) >= 3
    problem(application.get("/api/backup", params={"cursor": "no such"}), 422, "invalid-request")
    problem(application.get("/api/backup", params={"cursor": "é"}), 422, "invalid-request")


def test_a_temporary_id_waits_to_start(application: TestClient) -> None:
    answer = application.get("/api/backup/status/temp_123").json()
    assert (answer["success"], answer["status"], answer["progress"]) == (True, "in_progress", 0)
    problem(application.post("/api/backup/cancel/temp_123"), 409, "no-job-yet")


def test_a_running_backup_is_stopping_and_then_ended_before(application: TestClient, service: Service) -> None:
    # One target has one pg_dump at a time.
    eventually("nothing runs", lambda: application.get("/api/backup?state=queued").json()["backups"] == [] or None)
    eventually("nothing runs", lambda: application.get("/api/backup?state=running").json()["backups"] == [] or None)
    with service.held_dumps():
        id = application.post("/api/backup/create", json={}).json()["id"]

        def reached(state: str) -> bool | None:
            answer = application.get(f"/api/backup/status/{id}").json()
            assert answer["state"] in ("queued", "running", state), answer
            return answer["state"] == state or None

        eventually("it runs", lambda: reached("running"))
        answer = application.post(f"/api/backup/cancel/{id}").json()
        assert (answer["cancel"], answer["cancelRequested"]) == ("stopping", True)
        eventually("it is cancelled", lambda: reached("cancelled"))
        assert application.post(f"/api/backup/cancel/{id}").json()["cancel"] == "ended_before"


def test_what_is_refused_is_a_problem_with_its_hint(application: TestClient, service: Service) -> None:
    problem(application.post("/api/backup/create", json={"target": "another"}), 403, "forbidden")
    problem(application.get(f"/api/backup/status/{uuid4()}"), 404, "unknown-backup")
    problem(application.post("/api/backup/create", json={"label": "x" * 201}), 422, "invalid-request")
    revoke, grant = (f"SELECT pgdumpd.{word}('{service.target}')" for word in ("revoke_role", "grant_producer"))
    with service.changed(revoke, grant):
        refused = problem(application.post("/api/backup/create", json={}), 500, "internal")
    assert service.target not in str(refused)


def test_another_targets_backup_is_unknown_here(application: TestClient, service: Service) -> None:
    with psycopg.connect(service.application_url, autocommit=True) as connection:
        id = enqueue_backup(connection, "another").id
    problem(application.get(f"/api/backup/status/{id}"), 404, "unknown-backup")
    problem(application.post(f"/api/backup/cancel/{id}"), 404, "unknown-backup")
    assert str(id) not in application.get("/api/backup").text

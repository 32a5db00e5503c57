"""The routes of `<BackupProgress>` with FastAPI: start a backup, show it, cancel it, and the history."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

from pgdumpd_client import BackupError, BackupState, BackupStatus, aio, web

pool = AsyncConnectionPool(os.environ["DATABASE_URL"], open=False)
TARGETS = [os.environ["TARGET"]]
"""The only ones that may be started, seen and cancelled here."""


class Create(BaseModel):
    target: str | None = None
    label: str | None = None
    id: UUID | None = None


# Your application's own session goes here, as a dependency of the router. This example has no users, so it asks nobody.
routes = APIRouter(prefix="/api/backup")


@routes.post("/create")
async def create(body: Create, request: Request) -> JSONResponse:
    target = body.target or TARGETS[0]
    if target not in TARGETS:
        raise ProblemError(web.problem("forbidden", f"you may not back up {target}"))
    # The row is there before the answer is sent: a page that polls at once finds it.
    id = body.id or uuid4()
    await aio.enqueue_backup(pool, target, id=id, label=body.label, metadata={"from": "examples/fastapi"})
    location = request.url_for("status", id=str(id)).path
    return JSONResponse(web.answer_of(await visible(str(id))), status_code=202, headers={"Location": location})


@routes.get("/status/{id}")
async def status(id: str, request: Request) -> Response:
    # What is not a UUID is a temporary id of a page: it waits to start.
    answer = web.answer_of(await visible(id)) if web.is_uuid(id) else web.waiting_answer(id)
    etag = web.etag_of(answer)
    if etag == request.headers.get("If-None-Match"):
        return Response(status_code=304, headers={"ETag": etag})
    return JSONResponse(answer, headers={"ETag": etag, "Cache-Control": "private, no-cache"})


@routes.post("/cancel/{id}")
async def cancel(id: str) -> JSONResponse:
    if not web.is_uuid(id):
        raise ProblemError(web.problem("no-job-yet", "this is not the id of a backup"))
    before = await visible(id)
    cancelled = await aio.cancel_backup(pool, id)
    return JSONResponse(web.cancel_answer(await aio.backup_status(pool, id) or before, cancelled))


@routes.get("")
async def history(state: BackupState | None = None, limit: int = 20, cursor: str | None = None) -> JSONResponse:
    after = None if cursor is None else web.page_key(cursor)
    page = await aio.list_backups(pool, targets=TARGETS, state=state, limit=min(limit, 100), after=after)
    return JSONResponse(web.list_answer(page))


async def visible(id: str) -> BackupStatus:
    found = await aio.backup_status(pool, id)
    if found is None or found.target not in TARGETS:
        raise ProblemError(web.problem("unknown-backup", f"there is no backup {id}"))
    return found


class ProblemError(Exception):
    def __init__(self, problem: web.Problem) -> None:
        self.problem = problem


async def refuse(_: Request, error: Exception) -> JSONResponse:
    """What was raised, as a problem of RFC 9457."""
    if isinstance(error, BackupError):
        problem = web.problem_of(error)
        if problem["status"] >= 500:
            logging.getLogger(__name__).error("a request failed: %s", error, exc_info=error)
    else:
        problem = error.problem if isinstance(error, ProblemError) else web.problem("internal", "the request failed")
    return JSONResponse(problem, status_code=problem["status"], media_type="application/problem+json")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with pool:
        yield


app = FastAPI(lifespan=lifespan, exception_handlers={BackupError: refuse, ProblemError: refuse})
app.include_router(routes)

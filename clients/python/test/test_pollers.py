"""Many pages that poll from the moment of create, with a temporary id before, and the real one after."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgdumpd_client import BackupStatus, aio, backup_status, enqueue_backup, web
from service import DEADLINE_SECONDS, Service, eventually

JOBS = 200
POLLERS = 20
ENDING = 6
"""So many are done; the others are cancelled at last, because one target has one pg_dump at a time."""


@dataclass
class Page:
    """What a page shows of one backup."""

    id: str
    polled: threading.Event = field(default_factory=threading.Event)
    progress: float = 0
    has_ended: bool = False

    def take(self, answer: web.BackupAnswer) -> None:
        assert answer["success"]
        assert self.progress <= answer["progress"], f"{answer['progress']} after {self.progress}"
        assert answer["status"] != "failed", answer["error"]
        self.progress = answer["progress"]
        self.has_ended = answer["status"] != "in_progress"
        self.polled.set()


def test_nothing_is_not_found_and_no_percentage_goes_back(service: Service) -> None:
    deadline = time.monotonic() + 2 * DEADLINE_SECONDS
    created = threading.Event()
    pages = [Page(id=f"temp_{n}") for n in range(JOBS)]

    def create(pool: ConnectionPool) -> None:
        for n, page in enumerate(pages):
            assert page.polled.wait(DEADLINE_SECONDS)
            # The ones to be done come first.
            enqueued = enqueue_backup(pool, service.target, priority=1 if n < ENDING else 5)
            page.id = str(enqueued.id)
        created.set()

    def end() -> None:
        """Cancels the others when the first ones have ended."""
        eventually("the first ones have ended", lambda: all(page.has_ended for page in pages[:ENDING]) or None)
        created.wait(DEADLINE_SECONDS)
        queued = "SELECT pgdumpd.cancel_backup(id) FROM pgdumpd.backup_jobs WHERE target = %s AND state = 'queued'"
        service.owner.execute(queued, [service.target])

    def poll(pool: ConnectionPool, own: list[Page]) -> None:
        while is_open(own):
            for page in own:
                id = page.id
                page.take(answer(id, backup_status(pool, id)))
            time.sleep(0.1)

    async def poll_async(pool: AsyncConnectionPool, own: list[Page]) -> None:
        while is_open(own):
            for page in own:
                id = page.id
                page.take(answer(id, await aio.backup_status(pool, id)))
            await asyncio.sleep(0.1)

    def is_open(own: list[Page]) -> bool:
        """Whether a page has something to wait for; also when another thread has failed, this ends."""
        assert time.monotonic() < deadline
        return not all(page.has_ended for page in own)

    def answer(id: str, status: BackupStatus | None) -> web.BackupAnswer:
        if not web.is_uuid(id):
            assert status is None
            return web.waiting_answer(id)
        assert status is not None, f"{id} is not found"
        return web.answer_of(status)

    async def poll_all_async(own: list[list[Page]]) -> None:
        async with AsyncConnectionPool(service.application_url, min_size=4, open=False) as pool:
            await asyncio.gather(*(poll_async(pool, some) for some in own))

    shares = [pages[n::POLLERS] for n in range(POLLERS)]
    half = POLLERS // 2
    with (
        ConnectionPool(service.application_url, min_size=4, open=False) as pool,
        ThreadPoolExecutor(max_workers=POLLERS) as threads,
    ):
        running = [threads.submit(poll, pool, some) for some in shares[:half]]
        running.append(threads.submit(asyncio.run, poll_all_async(shares[half:])))
        running.append(threads.submit(create, pool))
        running.append(threads.submit(end))
        for one in running:
            one.result()
    assert [page.progress for page in pages[:ENDING]] == [100] * ENDING

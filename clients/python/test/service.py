"""A database of its own with a queue and a table, a daemon that serves it, and an application's role."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import psycopg

Found = TypeVar("Found")

DEADLINE_SECONDS = 30
"""No condition of these tests takes nearly so long."""


def environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise RuntimeError(f"{name} is not set: run script/test-python")
    return value


def url(database: str, role: str) -> str:
    start, _, end = environment("PGDUMPD_TEST_DATABASE_URL").partition("//")
    host = end.partition("@")[2].rpartition("/")[0]
    return f"{start}//{role}@{host}/{database}"


def eventually(what: str, condition: Callable[[], Found | None]) -> Found:
    """Waits until `condition` returns something, and returns that."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        found = condition()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.02)


class Service:
    def __init__(self) -> None:
        self.target = f"app_{uuid4().hex[:12]}"
        """The database's name, which is also the target's and the application's role's."""
        self.owner_url = url(self.target, "postgres")
        self.application_url = url(self.target, self.target)
        self._folder = Path(tempfile.mkdtemp(prefix="pgdumpd-client-"))
        self._daemon: subprocess.Popen[bytes] | None = None
        with psycopg.connect(environment("PGDUMPD_TEST_DATABASE_URL"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {self.target}")
        self.owner = psycopg.connect(self.owner_url, autocommit=True)
        self.add_role(self.target)
        self.owner.execute("CREATE TABLE orders AS SELECT n, md5(n::text) FROM generate_series(1, 1000) AS n")
        self.owner.execute("ANALYZE")

    def add_role(self, role: str) -> str:
        """Adds a producer, and returns how it reaches the queue."""
        self.owner.execute(f"CREATE ROLE {role} LOGIN")
        command = [environment("PGDUMPD_BIN"), "migrate", "--grant-producer", role]
        subprocess.run(command, env=self._environment(), check=True, stdout=subprocess.DEVNULL)
        return url(self.target, role)

    def start_daemon(self) -> None:
        command = [environment("PGDUMPD_BIN"), "run"]
        self._daemon = subprocess.Popen(command, env=self._environment(), stdin=subprocess.DEVNULL)

        def is_served() -> bool | None:
            assert self._daemon is not None
            assert self._daemon.poll() is None, "the daemon has ended"
            served = "SELECT FROM pgdumpd.served_targets WHERE target = %s"
            return self.owner.execute(served, [self.target]).rowcount == 1 or None

        eventually("a daemon serves the target", is_served)

    @contextmanager
    def held_dumps(self) -> Iterator[None]:
        """Keeps `pg_dump` waiting, and so the job running."""
        with psycopg.connect(self.owner_url) as connection:
            connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            yield

    @contextmanager
    def changed(self, change: str, back: str) -> Iterator[None]:
        """Runs a statement as the owner, and another one afterwards."""
        self.owner.execute(change.encode())
        try:
            yield
        finally:
            self.owner.execute(back.encode())

    def stop(self) -> None:
        self.owner.close()
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait(DEADLINE_SECONDS)
        shutil.rmtree(self._folder)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": environment("PATH"),
            "DATABASE_URL": self.owner_url,
            "PGDUMPD_STORAGE": str(self._folder / "backups"),
            "PGDUMPD_LOG__FILTER": "off",
            "PGDUMPD_PG_DUMP__DIRECTORIES": environment("PGDUMPD_TEST_PG_BIN"),
        }

"""Through PgBouncer in transaction mode, which gives each transaction any session."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from service import Service, environment, eventually
from ways import WAYS, Clients


@pytest.fixture(scope="module")
def pooler(queue: Service) -> Iterator[int]:
    """The port of one that has two sessions of each role."""
    unpacked = Path(environment("PGDUMPD_CACHE")) / "debian"
    programs = [Path("/usr/sbin/pgbouncer"), unpacked / "usr/sbin/pgbouncer"]
    program = next((path for path in programs if path.exists()), None)
    if program is None:
        assert "PGDUMPD_TEST_POOLER" not in os.environ, "PgBouncer is not installed"
        pytest.skip("PgBouncer is not installed: script/bootstrap says why")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="pgdumpd-pooler-"))
    host = environment("PGDUMPD_TEST_DATABASE_URL").partition("@")[2].partition(":")[0].replace("%2F", "/")
    (folder / "users").write_text(f'"{queue.target}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={host} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "unix_socket_dir =\nauth_type = trust\nauth_file = users\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    # It refuses root.
    user = environment("PGDUMPD_TEST_SERVER_USER") or None
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
    libraries = ":".join(map(str, [*unpacked.glob("lib/*-linux-gnu"), *unpacked.glob("usr/lib/*-linux-gnu")]))
    bouncer = subprocess.Popen(
        [program, "pgbouncer.ini"],
        cwd=folder,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        env={"LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listens() -> bool | None:
        assert bouncer.poll() is None, "PgBouncer has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return None

    try:
        yield eventually("PgBouncer listens", lambda: listens() and port)
    finally:
        bouncer.terminate()
        bouncer.wait()
        shutil.rmtree(folder)


@pytest.mark.parametrize("way", WAYS)
def test_every_function_runs_through_a_transaction_pooler(pooler: int, queue: Service, way: str) -> None:
    target = f"pooled {uuid4()}"
    clients = Clients(f"postgres://{queue.target}@127.0.0.1:{pooler}/{queue.target}")
    try:
        # Statements are prepared at once where the client does not prevent it: the other session does not know them.
        both = [clients.make(way, prepare_threshold=0) for _ in range(3)]
        for n in range(4):
            for client in both:
                id = client.enqueue_backup(target, label=str(n)).id
                assert client.backup_status(id).state == "queued"
                assert client.list_backups(targets=[target]).backups[0].id == id
                assert id in {job.id for job in client.monitoring(targets=[target])}
                assert client.targets(targets=[target]) == []
                assert client.cancel_backup(id) == "cancelled"
                assert [status.state for status in client.watch_backup(id)] == ["cancelled"]
    finally:
        clients.close()

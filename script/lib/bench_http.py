"""The measuring half of script/bench http, which prepares what this needs. Standard library only.

1,000 open event streams and 500 status requests a second for a minute, on one daemon that takes backups meanwhile:
transactions of the queue per second, the daemon's memory, and how long requests and backups take. Ends with 1 where
the daemon needs more than 100 MB, the queue has more than a bounded number of transactions, or a request fails.
"""

import asyncio
import re
import signal
import statistics
import sys
import time
import uuid

from benchlib import WORK, Daemon, fail, machine, options, p99, sql, wrap_pg_dump

STREAMS = 100 if options.quick else 1000
RATE = 100 if options.quick else 500
SECONDS = 5 if options.quick else 60
# Many streams follow one job, and many jobs are followed.
JOBS = 50
ASKERS = 50
# Streams of each backup that is taken, beside those of jobs in which nothing happens.
FOLLOWERS = 20
MEMORY_MB = 100
# 20 statements for all who ask, 1 for each 1,000 jobs that are followed, each of which is two transactions (prepared, and
# executed); what the daemon does for its backups; and some room.
TRANSACTIONS = 100
TOKEN = uuid.uuid4().hex + uuid.uuid4().hex
HEADER = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"


def prepare():
    for name in ["queue", "shop"]:
        sql(f"CREATE DATABASE {name}", "postgres")
    sql("CREATE TABLE t AS SELECT i, sha256(i::text::bytea) FROM generate_series(1, 100000) AS i", "shop")
    with open(f"{WORK}/bench.token", "w") as file:
        file.write(TOKEN)


# The daemon's configuration is one text, to which further sections are added as lines of the last target.
HTTP = [
    "[http]",
    f'listen = "unix:{WORK}/http.sock"',
    "requests_per_second = 1000000",
    f"max_streams = {STREAMS + FOLLOWERS}",
    f"max_connections = {STREAMS + FOLLOWERS + 200}",
    "[http_tokens.bench]",
    f'file = "{WORK}/bench.token"',
    'scopes = ["admin"]',
    'targets = ["*"]',
]


async def connect():
    return await asyncio.open_unix_connection(f"{WORK}/http.sock", limit=1 << 20)


async def answer(reader):
    """The status of an answer, whose body is read and left aside."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
    if length:
        await reader.readexactly(int(length.group(1)))
    return int(head.split()[1])


class Stream:
    """One open event stream; counts its events."""

    def __init__(self):
        self.events = 0
        self.is_over = False

    async def open(self, job):
        self.reader, self.writer = await connect()
        self.writer.write(f"GET /api/backup/events/{job} HTTP/1.1\r\n{HEADER}Connection: close\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        if " 200 " not in head.splitlines()[0]:
            fail(f"a stream was refused: {head}")
        self.task = asyncio.create_task(self.read())

    async def read(self):
        while chunk := await self.reader.read(1 << 16):
            self.events += chunk.count(b"data: ")
        self.is_over = True


async def ask(jobs, times, statuses, until):
    """One of the askers: its share of the requests, at even distances, over one connection."""
    reader, writer = await connect()
    pause = ASKERS / RATE
    due = time.monotonic() + pause * (len(times) % ASKERS) / ASKERS
    number = 0
    while (now := time.monotonic()) < until:
        await asyncio.sleep(max(0, due - now))
        due += pause
        job = jobs[number % len(jobs)]
        number += 1
        began = time.monotonic()
        writer.write(f"GET /api/backup/status/{job} HTTP/1.1\r\n{HEADER}\r\n".encode())
        statuses.append(await answer(reader))
        times.append(time.monotonic() - began)
    writer.close()


def transactions():
    # Statistics arrive with up to a second's delay.
    return int(sql("SELECT xact_commit FROM pg_stat_database WHERE datname = 'queue'", "postgres"))


def resident_mb(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(rf"{field}:\s+(\d+) kB", file.read()).group(1)) / 1024


async def backups(until, followers):
    """Backups one after another, as long as the measurement lasts, each followed: how long each takes."""
    took, events = [], 0
    while time.monotonic() < until:
        began = time.monotonic()
        job = await asyncio.to_thread(
            sql, "SELECT job_id FROM pgdumpd.enqueue_backup('shop')"
        )
        streams = [Stream() for _ in range(followers)]
        for stream in streams:
            await stream.open(job)
        state = "queued"
        while state in ["queued", "running"]:
            await asyncio.sleep(0.2)
            state = await asyncio.to_thread(sql, f"SELECT state FROM pgdumpd.backup_jobs WHERE id = '{job}'")
        if state != "succeeded":
            fail(f"a backup {state}")
        took.append(time.monotonic() - began)
        for stream in streams:
            # It ends by itself, with the backup's end.
            await asyncio.wait_for(stream.task, 10)
            stream.writer.close()
            events += stream.events
    return took, events


async def measure(daemon):
    # Nobody serves this target, so its jobs stay, and their states are what is followed.
    jobs = [sql("SELECT job_id FROM pgdumpd.enqueue_backup('nowhere')") for _ in range(JOBS)]
    alone, _ = await backups(time.monotonic() + (2 if options.quick else 15), 0)
    print(f"without anybody who asks: a backup takes {statistics.median(alone):.2f} s", flush=True)
    before = resident_mb(daemon.pid, "VmRSS")
    streams = [Stream() for _ in range(STREAMS)]
    for number, stream in enumerate(streams):
        await stream.open(jobs[number % JOBS])
    print(f"{STREAMS} event streams are open; {RATE} status requests a second for {SECONDS} s", flush=True)
    until = time.monotonic() + SECONDS
    times, statuses = [], []
    counted, began = transactions(), time.monotonic()
    askers = [ask(jobs, times, statuses, until) for _ in range(ASKERS)]
    (took, events), *_ = await asyncio.gather(backups(until, FOLLOWERS), *askers)
    elapsed = time.monotonic() - began
    await asyncio.sleep(1.5)
    # Less those of the benchmark itself: each question about a backup, once in 0.2 s and once for each backup.
    own = sum(took) / 0.2 + 2 * len(took)
    per_second = (transactions() - counted - own) / elapsed
    peak = resident_mb(daemon.pid, "VmHWM")
    open_streams = sum(1 for stream in streams if not stream.is_over)
    failed = [status for status in statuses if status != 200]
    print(
        f"{len(statuses)} requests in {elapsed:.0f} s ({len(statuses) / elapsed:.0f} a second), {len(failed)} of them failed\n"
        f"  a request: {statistics.median(times) * 1000:.0f} ms, 99 % within {p99(times) * 1000:.0f} ms\n"
        f"  event streams still open: {open_streams} of {STREAMS}; events of the backups' own {FOLLOWERS} streams: {events}\n"
        f"  transactions in the queue: {per_second:.0f} a second, two for each statement, those of the backups included\n"
        f"  the daemon's memory: {before:.0f} MB before, {peak:.0f} MB at most\n"
        f"  backups meanwhile: {len(took)}, each {statistics.median(took):.2f} s ({statistics.median(took) / statistics.median(alone):.1f} times as long)"
    )
    problems = []
    if failed:
        problems.append(f"requests failed: {sorted(set(failed))}")
    if peak > MEMORY_MB:
        problems.append(f"the daemon needed more than {MEMORY_MB} MB")
    if per_second > TRANSACTIONS:
        problems.append(f"the queue had more than {TRANSACTIONS} transactions a second")
    if open_streams != STREAMS:
        problems.append("event streams broke off")
    if not took:
        problems.append("no backup was taken")
    if not options.quick and len(statuses) < RATE * SECONDS * 0.9:
        problems.append("fewer requests were answered than were to be sent")
    for stream in streams:
        stream.writer.close()
    return problems


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(machine(), flush=True)
    wrap_pg_dump()
    prepare()
    daemon = Daemon({"shop": ("shop", HTTP)})
    try:
        problems = asyncio.run(measure(daemon))
    finally:
        daemon.stop()
    for problem in problems:
        print(f"FAILED: {problem}")
    sys.exit(1 if problems else 0)


main()

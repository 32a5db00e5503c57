"""The measuring half of script/bench memory, which prepares what this needs. Standard library only.

The daemon's resident memory at most (VmHWM) in each of several cases, each by a daemon of its own, against what
docs/CONFIG.md ("Memory of a backup") says that it takes at most. Ends with 1 where one took more.
"""

import os
import re
import shutil
import signal
import subprocess
import sys

from benchlib import MAJOR, PG_BIN, WORK, Daemon, fail, machine, options, sql, wrap_pg_dump

MEGABYTES = options.megabytes or (40 if options.quick else 200)
OBJECTS = 20_000 if options.quick else 200_000
TABLES = 2_000 if options.quick else 10_000
JOBS = 8

MIB = 1 << 20
# As docs/CONFIG.md has it.
BASE, FROM_PG_DUMP, CODECS = 20 * MIB, 11 * MIB, 1 << 30
ENTRY, OBJECT_OF_TARGET = 1300, 500
CODEC = {"none": (1, 0), "gzip:6": (1, 1), "zstd:1": (1, 1), "zstd:8": (2, 8), "zstd:11": (4, 32), "zstd:22": (4, 68)}


def compressing(codec):
    piece, memory = (size * MIB for size in CODEC[codec])
    processors = len(os.sched_getaffinity(0))
    pieces = min(processors + 3, CODECS // memory if memory else processors + 3)
    return pieces * (2 * piece + memory)


def said(codec, jobs=1, entries=0, relations=0):
    return BASE + jobs * (FROM_PG_DUMP + compressing(codec)) + entries * ENTRY + relations * OBJECT_OF_TARGET


def load():
    for name in ["queue", "rows", "fewer", "objects", "tables"]:
        sql(f"CREATE DATABASE {name}", "postgres")
    # Some 100 bytes a row, of which zstd keeps a half. Enough that each processor has packed several pieces.
    for database, megabytes in [("rows", MEGABYTES), ("fewer", MEGABYTES / 5)]:
        sql(f"CREATE TABLE t AS SELECT i, sha256(i::text::bytea) FROM generate_series(1, {int(megabytes * 10_000)}) AS i", database)
    sql(f"SELECT count(lo_create(i)) FROM generate_series(100000, {99_999 + OBJECTS}) AS i", "objects")
    sql(
        f"DO $$ BEGIN FOR i IN 1..{TABLES} LOOP EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, name text)', i); "
        "IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$",
        "tables",
    )


def entries_of_the_last():
    archive = sql("SELECT object_key FROM pgdumpd.backup_copies WHERE state = 'stored' ORDER BY stored_at DESC LIMIT 1")
    listed = subprocess.run([f"{PG_BIN}/pg_restore", "-l", f"{WORK}/backups/{archive}"], capture_output=True, text=True)
    if listed.returncode != 0:
        fail(listed.stderr)
    return sum(1 for line in listed.stdout.splitlines() if not line.startswith(";"))


def measure(codec, database, jobs):
    lines = [f'compression = "{codec}"', 'compressor = "pgdumpd"']
    names = [f"{database}{number}" for number in range(jobs)]
    daemon = Daemon({name: (database, lines) for name in names}, daemon=[f"max_jobs = {jobs}"])
    try:
        for job in [daemon.enqueue(name) for name in names]:
            daemon.wait_for(job, 0.2)
        with open(f"/proc/{daemon.pid}/status") as file:
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) * 1024
        entries = entries_of_the_last()
    finally:
        daemon.stop()
    sql("DROP SCHEMA pgdumpd CASCADE; DROP TABLE marker")
    shutil.rmtree(f"{WORK}/backups")
    return peak, entries


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if MAJOR < 16:
        fail("pg_restore 16 or newer is needed, which reads archives with zstd: set PGDUMPD_TEST_PG_BIN")
    facts = machine()
    print(f"loading {MEGABYTES} MB, {OBJECTS:,} large objects, {TABLES:,} tables", flush=True)
    load()
    wrap_pg_dump()
    cases = [(f"{MEGABYTES} MB of rows", "rows", codec, 1) for codec in CODEC]
    cases += [(f"{MEGABYTES // 5} MB of rows, {JOBS} jobs at once", "fewer", codec, JOBS) for codec in ["gzip:6", "zstd:22"]]
    cases += [(f"{OBJECTS:,} large objects", "objects", "gzip:6", 1), (f"{TABLES:,} tables", "tables", "gzip:6", 1)]
    print(f"\n{facts}\n\n| | compression | MB at most | said, MB |\n|---|---|---|---|", flush=True)
    over = 0
    for what, database, codec, jobs in cases:
        peak, entries = measure(codec, database, jobs)
        relations = int(sql("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'S', 'v', 'm')", database))
        limit = said(codec, jobs, entries * jobs, relations * jobs)
        over += peak > limit
        print(f"| {what} | `{codec}` | {peak / 1e6:.0f} | {limit / 1e6:.0f} |", flush=True)
    if over:
        fail(f"{over} of {len(cases)} took more than docs/CONFIG.md says")


main()

"""The measuring half of script/bench, which prepares what this needs. Standard library only.

Three measurements, each of one daemon (pgdumpd run) with two jobs at most:

1. Rounds of a backup by the daemon and of `pg_dump -Fc --compress=SAME > FILE` with fsync, in turn, of one database.
   Wall time: of the daemon, the row's finished_at - created_at (the database's clock); of pg_dump, from its start to the
   end of fsync. CPU time: of the daemon, the difference of user and system time in /proc/PID/stat, its own and that of its
   children it has waited for (pg_dump); of pg_dump, what wait4 tells. The server's own CPU time is in neither: it is shown
   beside them, as the difference of what the postmaster has waited for (backends that ended; on the daemon's side with
   the polls of this script, four a second).
2. Memory: the daemon's VmHWM, reset before (/proc/PID/clear_refs), after it backed up the large database.
3. Latency: from the commit of a job's row (pg_xact_commit_timestamp of a row of the same transaction) to its claim
   (backup_attempts.started_at) and to the start of pg_dump (a wrapper notes the time). One job at a time.
"""

import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time

from benchlib import (
    PG_BIN, WORK, Daemon, cpu_seconds, dumps_started, fail, machine, options, p99, postmaster, settle, spread, sql, url, wrap_pg_dump,
)

MEGABYTES = options.megabytes or (110 if options.quick else 1100)
ROUNDS = options.rounds or (2 if options.quick else 5)
JOBS = 20 if options.quick else 200


def load():
    """`gigabyte` with three tables, `two_gigabytes` with the same and a copy of each, `small`."""
    print(f"loading {MEGABYTES} MB and twice that", flush=True)
    for name in ["queue", "gigabyte", "small"]:
        sql(f"CREATE DATABASE {name}", "postgres")
    sql("CREATE TABLE t AS SELECT i AS id, md5(i::text) AS text FROM generate_series(1, 100) AS i", "small")
    loads = [
        # Hexadecimal digits compress to a little over half, prose to less.
        ("texts", "i AS id, 'text ' || i AS title, md5(i::text) || ' the quick brown fox ' || md5((i * 3)::text) || "
         "' jumps over ' || i || ' lazy dogs ' || md5((i * 5)::text) || md5((i * 7)::text) || ' and walks home' AS body"),
        ("numbers", "i AS id, hashint4(i) AS a, i % 1000 AS b, now()::date + i % 365 AS day"),
        ("documents", "i AS id, jsonb_build_object('name', 'n' || i, 'hash', md5(i::text), 'list', jsonb_build_array(i, i + 1, null)) AS doc"),
    ]
    shares = {"texts": 0.68, "numbers": 0.20, "documents": 0.12}
    for table, columns in loads:
        # Rows of the first thousand tell how many rows a megabyte is, as COPY writes them.
        sample = sql(f"SELECT sum(octet_length(r::text)) FROM (SELECT {columns} FROM generate_series(1000001, 1001000) AS i) AS r", "gigabyte")
        rows = int(MEGABYTES * 1e6 * shares[table] * 1000 / int(sample))
        sql(f"CREATE TABLE {table} AS SELECT {columns} FROM generate_series(1, {rows}) AS i", "gigabyte")
    sql("CREATE DATABASE two_gigabytes TEMPLATE gigabyte", "postgres")
    for table, _ in loads:
        sql(f"CREATE TABLE {table}_again AS TABLE {table}", "two_gigabytes")
    for database in ["gigabyte", "two_gigabytes", "small"]:
        sql("VACUUM (FREEZE, ANALYZE)", database)
    sql("CHECKPOINT", "postgres")


def measure_daemon(daemon):
    settle()
    before, server = cpu_seconds(daemon.pid, 14, 15, 16, 17), cpu_seconds(postmaster(), 16, 17)
    job = daemon.enqueue("gigabyte")
    daemon.wait_for(job, 0.25)
    wall = float(sql(f"SELECT extract(epoch FROM finished_at - created_at) FROM pgdumpd.backup_status WHERE id = '{job}'"))
    # The daemon waits for pg_dump before it ends the row, so its children's time is there.
    cpu = cpu_seconds(daemon.pid, 14, 15, 16, 17) - before
    size = int(sql(f"SELECT size_bytes FROM pgdumpd.backup_status WHERE id = '{job}'"))
    daemon.delete_archives()
    return wall, cpu, cpu_seconds(postmaster(), 16, 17) - server, size


def measure_pg_dump(compress):
    settle()
    server = cpu_seconds(postmaster(), 16, 17)
    started = time.monotonic()
    with open(f"{WORK}/plain.dump", "wb") as file:
        child = subprocess.Popen([f"{PG_BIN}/pg_dump", "-Fc", compress, "-d", url("gigabyte")], stdout=file)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        os.fsync(file.fileno())
    folder = os.open(WORK, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    wall = time.monotonic() - started
    if status != 0:
        fail("pg_dump failed")
    size = os.path.getsize(f"{WORK}/plain.dump")
    os.unlink(f"{WORK}/plain.dump")
    return wall, usage.ru_utime + usage.ru_stime, cpu_seconds(postmaster(), 16, 17) - server, size


def throughput(daemon):
    print(f"warming up, then {ROUNDS} rounds", flush=True)
    measure_daemon(daemon)
    compress = re.search(r"--compress=\S+|-Z ?\S+", dumps_started()[-1][1])
    if not compress:
        fail(f"pg_dump was started without --compress: {dumps_started()[-1][1]}")
    compress = compress.group()
    measure_pg_dump(compress)
    ours, plain = [], []
    for number in range(ROUNDS):
        # In turn, and each goes first as often as the other.
        turns = [(ours, lambda: measure_daemon(daemon)), (plain, lambda: measure_pg_dump(compress))]
        for results, measure in turns if number % 2 == 0 else reversed(turns):
            results.append(measure())
        print(f"  round {number + 1}: pgdumpd {ours[-1][0]:.2f} s, pg_dump {plain[-1][0]:.2f} s", flush=True)
    return compress, ours, plain


def memory(daemon):
    print("memory: a backup of the large database", flush=True)
    with open(f"/proc/{daemon.pid}/clear_refs", "w") as file:
        file.write("5")
    daemon.wait_for(daemon.enqueue("two_gigabytes"), 0.5)
    with open(f"/proc/{daemon.pid}/status") as file:
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) / 1000
    daemon.delete_archives()
    return peak


def latency(daemon):
    print(f"latency: {JOBS} jobs, one at a time", flush=True)
    claimed, started = [], []
    for _ in range(JOBS):
        # Not in step with the daemon's own poll.
        time.sleep(random.uniform(0, 0.05))
        dumps = len(dumps_started())
        job = daemon.enqueue("small")
        daemon.wait_for(job, 0.01)
        dump = [float(at) for at, _ in dumps_started()[dumps:]]
        if len(dump) != 1:
            fail(f"{len(dump)} dumps were started for one job")
        committed, claim = sql(
            "SELECT extract(epoch FROM pg_xact_commit_timestamp(m.xmin)), extract(epoch FROM a.started_at) "
            f"FROM marker AS m JOIN pgdumpd.backup_attempts AS a ON a.job_id = m.job WHERE m.job = '{job}'"
        ).split("|")
        claimed.append(1000 * (float(claim) - float(committed)))
        started.append(1000 * (dump[0] - float(committed)))
    return claimed, started


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine()
    load()
    wrap_pg_dump()
    daemon = Daemon({name: (name, ["compressor = \"pg_dump\""] if name == "gigabyte" else []) for name in ["gigabyte", "two_gigabytes", "small"]})
    try:
        compress, ours, plain = throughput(daemon)
        peak = memory(daemon)
        claimed, started = latency(daemon)
    finally:
        daemon.stop()

    bytes_dumped = int(sql("SELECT sum(pg_table_size(c.oid)) FROM pg_class AS c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", "gigabyte"))
    column = lambda rows, index: [row[index] for row in rows]
    ratio = lambda index: spread([o[index] / p[index] for o, p in zip(ours, plain)])
    print(f"\n{facts}\n")
    print(f"A backup of {bytes_dumped / 1e9:.2f} GB of tables, {ROUNDS} rounds in turn, median (least–most):\n")
    print(f"| | pgdumpd | pg_dump -Fc {compress} > FILE, fsync | ratio |\n|---|---|---|---|")
    for name, index in [("wall, s", 0), ("CPU of the daemon and pg_dump, s", 1), ("CPU of the server, s", 2)]:
        print(f"| {name} | {spread(column(ours, index))} | {spread(column(plain, index))} | {ratio(index)} |")
    print(f"| stored, MB | {ours[-1][3] / 1e6:.1f} | {plain[-1][3] / 1e6:.1f} | {ours[-1][3] / plain[-1][3]:.2f} |")
    print(f"\nThe daemon's resident memory at most, while it backed up {2 * MEGABYTES} MB: {peak:.1f} MB (goal: below 100)\n")
    print(f"From the commit of the row, {JOBS} jobs:\n\n| | median | p99 | goal |\n|---|---|---|---|")
    print(f"| to its claim, ms | {statistics.median(claimed):.1f} | {p99(claimed):.1f} | 5 |")
    print(f"| to the start of pg_dump, ms | {statistics.median(started):.1f} | {p99(started):.1f} | 40 |")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": facts, "compress": compress, "pgdumpd": ours, "pg_dump": plain, "peak_mb": peak,
                       "claimed_ms": claimed, "started_ms": started}, file, indent=1)


main()

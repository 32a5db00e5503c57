"""`script/bench speed`: whose compression is faster. One database, one table that holds all rows, all ways in turn.

Ours: jobs of one daemon, for each codec compressed by pgdumpd and (where pg_dump is measured with it) by pg_dump and decompressed
again for counting; wall time is the row's finished_at - created_at. Rivals: pg_dump alone, into a file and through openssl's SHA-256
(`pg_dump … | tee FILE | openssl dgst -sha256`), and `pg_dump -Z0 | zstd -T0` likewise, until the file is synced. CPU time is of all
client processes: the daemon and its pg_dump, or the rival's pipeline; not the server's. Every backup of ours has an index and
row counts; a rival has none. One more way stands between them: pg_dump's own compression with a check of the archive's structure
alone (`pg_dump … | structure | tee FILE | openssl dgst -sha256`, an example of pgdump-archive): it counts no row.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import signal
import time

from benchlib import MAJOR, PG_BIN, WORK, Daemon, compared, cpu_seconds, fail, in_turn, machine, options, settle, sql, url, wrap_pg_dump

MEGABYTES = options.megabytes or (60 if options.quick else 1100)
ROUNDS = options.rounds or (1 if options.quick else 7)
CODECS = ["zstd:1", "zstd:3", "zstd:9", "gzip:6"] if MAJOR >= 16 else ["gzip:6"]
if options.codecs:
    CODECS = [codec for codec in CODECS if codec in options.codecs.split(",")]
# What the project set itself: wall time and size against pg_dump's own compression of the same level.
GOALS = {"zstd:1": ("at most 1.10", "at most 1.03"), "zstd:9": ("at most 0.59", ""), "gzip:6": ("at most 0.59", "at most 1.03")}


def load():
    print(f"loading {MEGABYTES} MB into one table", flush=True)
    for name in ["queue", "one"]:
        sql(f"CREATE DATABASE {name}", "postgres")
    columns = (
        "i AS id, 'text ' || i AS title, md5(i::text) || ' the quick brown fox ' || md5((i * 3)::text) || "
        "' jumps over ' || i || ' lazy dogs ' || md5((i * 5)::text) || ' and walks home' AS body, now() + i * interval '1s' AS at"
    )
    sample = sql(f"SELECT sum(octet_length(r::text)) FROM (SELECT {columns} FROM generate_series(1000001, 1001000) AS i) AS r", "one")
    rows = int(MEGABYTES * 1e6 * 1000 / int(sample))
    # An application's other tables: a few hundred objects, next to no data.
    for number in range(90):
        sql(f"CREATE TABLE other{number} (id int PRIMARY KEY, at timestamptz DEFAULT now()); CREATE INDEX ON other{number} (at); "
            f"COMMENT ON TABLE other{number} IS 'number {number}'; INSERT INTO other{number} SELECT generate_series(1, 10)", "one")
    sql(f"CREATE TABLE texts AS SELECT {columns} FROM generate_series(1, {rows}) AS i", "one")
    # A small table beside it, for fetching one table.
    sql(f"CREATE TABLE small AS SELECT i AS id, md5(i::text) AS text FROM generate_series(1, {rows // 100}) AS i", "one")
    sql("VACUUM (FREEZE, ANALYZE)", "one")
    sql("CHECKPOINT", "postgres")


def ours(daemon, target):
    settle()
    before = cpu_seconds(daemon.pid, 14, 15, 16, 17)
    job = daemon.enqueue(target)
    daemon.wait_for(job, 0.25)
    wall, size = sql(
        f"SELECT extract(epoch FROM finished_at - created_at), size_bytes FROM pgdumpd.backup_status WHERE id = '{job}'"
    ).split("|")
    cpu = cpu_seconds(daemon.pid, 14, 15, 16, 17) - before
    daemon.delete_archives()
    return float(wall), cpu, int(size)


def rival(command):
    """A shell pipeline that writes to $FILE."""
    settle()
    path = f"{WORK}/rival.dump"
    environment = dict(os.environ, FILE=path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=environment, stdout=subprocess.DEVNULL)
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        fail(f"{command} failed")
    size = os.path.getsize(path)
    os.unlink(path)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, size


def pg_dump(compress):
    option = compress if MAJOR >= 16 or compress == "0" else compress.split(":")[1]
    return f"{PG_BIN}/pg_dump -Fc --compress={option} -d '{url('one')}'"


def fetch_one_table(daemon):
    """What `fetch --table` reads of the object."""
    job = daemon.enqueue("zstd:1 pgdumpd" if MAJOR >= 16 else "gzip:6 pgdumpd")
    daemon.wait_for(job, 0.25)
    environment = dict(os.environ, PGDUMPD_CONFIG=f"{WORK}/pgdumpd.toml")
    command = [os.environ["PGDUMPD_BIN"], "fetch", job, "--table", "public.small", "-o", f"{WORK}/small.dump", "--json"]
    told = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    size = int(sql(f"SELECT size_bytes FROM pgdumpd.backup_status WHERE id = '{job}'"))
    daemon.delete_archives()
    return told["read_bytes"] / size


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine()
    load()
    wrap_pg_dump()
    ways = {}
    targets = {}
    sink = 'tee "$FILE" | openssl dgst -sha256'
    for codec in CODECS:
        for compressor in ["pgdumpd", "pg_dump"]:
            target = f"{codec} {compressor}"
            targets[target] = ("one", [f'compression = "{codec}"', f'compressor = "{compressor}"'])
            ways[codec, compressor] = lambda target=target: ours(daemon, target)
        ways[codec, "structure"] = lambda codec=codec: rival(f"{pg_dump(codec)} | {os.environ['STRUCTURE_BIN']} | {sink}")
        ways[codec, "rival"] = lambda codec=codec: rival(f"{pg_dump(codec)} | {sink}")
    if shutil.which("zstd") and "zstd:1" in CODECS:
        ways["zstd:1", "pipe"] = lambda: rival(f"{pg_dump('0')} | zstd -q -1 -T0 | {sink}")
    daemon = Daemon(targets)
    try:
        print("warming up", flush=True)
        ours(daemon, f"{CODECS[0]} pgdumpd")
        results = in_turn(ways, ROUNDS)
        share = fetch_one_table(daemon)
    finally:
        daemon.stop()

    rows = int(sql("SELECT pg_table_size('texts')", "one"))
    print(f"\n{facts}\n")
    print(f"One table of {rows / 1e9:.2f} GB, {ROUNDS} rounds in turn, median (least–most). Ratios: round by round, to pg_dump's own")
    print("compression with tee, openssl and fsync.\n")
    print("| codec | compressed by | wall, s | ratio | goal | CPU, s | ratio | stored, MB | ratio | goal |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    names = {"pgdumpd": "pgdumpd", "pg_dump": "pg_dump, counted by pgdumpd", "structure": "pg_dump, structure checked", "rival": "pg_dump alone", "pipe": "pg_dump -Z0 \\| zstd -T0"}
    for (codec, who), values in results.items():
        base = results[codec, "rival"]
        column, ratio = compared(values, base)
        wall_goal, size_goal = GOALS.get(codec, ("", "")) if who == "pgdumpd" else ("", "")
        print(
            f"| {codec} | {names[who]} | {column(0)} | {ratio(0)} | {wall_goal} | {column(1)} | {ratio(1)} "
            f"| {statistics.median(v[2] for v in values) / 1e6:.1f} | {ratio(2)} | {size_goal} |"
        )
    print(f"\n`pgdumpd fetch --table` of a table of one hundredth of the rows read {100 * share:.2f} % of the object (goal: below 2 %).")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": facts, "results": {" ".join(way): values for way, values in results.items()}, "fetched": share}, file, indent=1)


main()

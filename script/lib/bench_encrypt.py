"""`script/bench encrypt`: what encryption to a public key costs. One database, one table that holds all rows, all ways in turn.

Ours: jobs of one daemon, compressed by pgdumpd (zstd:1, or gzip:6 before PostgreSQL 16) and not at all, each with and without encrypt_to; wall
time is the row's finished_at - created_at, CPU time that of the daemon and its pg_dump. The rival, by standard tools:
`pg_dump … | age --recipient KEY | tee FILE | openssl dgst -sha256`, until the file is synced. All ratios are round by round, to ours
of the same compression without encryption.
"""

import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

from benchlib import MAJOR, PG_BIN, WORK, Daemon, compared, cpu_seconds, fail, in_turn, machine, options, settle, spread, sql, url, wrap_pg_dump

MEGABYTES = options.megabytes or (60 if options.quick else 1100)
ROUNDS = options.rounds or (1 if options.quick else 7)
CODECS = ["zstd:1" if MAJOR >= 16 else "gzip:6", "none"]


def load():
    print(f"loading {MEGABYTES} MB into one table", flush=True)
    for name in ["queue", "one"]:
        sql(f"CREATE DATABASE {name}", "postgres")
    # About 240 bytes a row as COPY writes it.
    sql(
        "CREATE TABLE texts AS SELECT i AS id, 'text ' || i AS title, md5(i::text) || ' the quick brown fox ' || md5((i * 3)::text) || "
        "' jumps over ' || i || ' lazy dogs ' || md5((i * 5)::text) || ' and walks home' AS body, now() + i * interval '1s' AS at "
        f"FROM generate_series(1, {MEGABYTES * 1_000_000 // 240}) AS i",
        "one",
    )
    sql("VACUUM (FREEZE, ANALYZE)", "one")
    sql("CHECKPOINT", "postgres")


def key_pair():
    made = subprocess.run(["age-keygen", "-o", f"{WORK}/identity"], capture_output=True, text=True)
    if made.returncode != 0:
        fail("age-keygen does not run; on Debian: apt-get install age")
    with open(f"{WORK}/identity") as file:
        return re.search(r"public key: (age1\S+)", file.read()).group(1)


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


def rival(codec, public):
    settle()
    path = f"{WORK}/rival.dump.age"
    compress = "0" if codec == "none" else codec if MAJOR >= 16 else codec.split(":")[1]
    dump = f"{PG_BIN}/pg_dump -Fc --compress={compress} -d '{url('one')}'"
    command = f"{dump} | age --recipient {public} | tee {path} | openssl dgst -sha256"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], stdout=subprocess.DEVNULL)
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


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine()
    public = key_pair()
    load()
    wrap_pg_dump()
    targets = {}
    ways = {}
    for codec in CODECS:
        lines = [f'compression = "{codec}"', 'compressor = "pgdumpd"']
        targets[f"{codec} clear"] = ("one", lines)
        targets[f"{codec} encrypted"] = ("one", lines + [f'encrypt_to = ["{public}"]'])
        for way in ["clear", "encrypted"]:
            ways[codec, way] = lambda target=f"{codec} {way}": ours(daemon, target)
        ways[codec, "rival"] = lambda codec=codec: rival(codec, public)
    daemon = Daemon(targets)
    try:
        print("warming up", flush=True)
        ours(daemon, f"{CODECS[0]} encrypted")
        results = in_turn(ways, ROUNDS)
    finally:
        daemon.stop()

    rows = int(sql("SELECT pg_table_size('texts')", "one"))
    print(f"\n{facts}\n\nOne table of {rows / 1e9:.2f} GB, {ROUNDS} rounds in turn, median (least–most).\n")
    print("| compression | encrypted by | wall, s | ratio | CPU, s | ratio | stored, MB | CPU for encryption, ms per stored MB |")
    print("|---|---|---|---|---|---|---|---|")
    names = {"clear": "nobody", "encrypted": "pgdumpd", "rival": "age, after pg_dump alone"}
    for (codec, who), values in results.items():
        base = results[codec, "clear"]
        column, ratio = compared(values, base)
        cost = spread([(v[1] - b[1]) * 1e9 / v[2] for v, b in zip(values, base)]) if who == "encrypted" else ""
        print(
            f"| {codec} | {names[who]} | {column(0)} | {ratio(0)} | {column(1)} | {ratio(1)} "
            f"| {statistics.median(v[2] for v in values) / 1e6:.1f} | {cost} |"
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": facts, "results": {" ".join(way): values for way, values in results.items()}}, file, indent=1)


main()

"""`script/bench progress`: how true the percentage is. Ten databases made from seeds, each backed up once.

While a backup runs, its row is read five times a second. Afterwards each reading's percentage is compared with the share of the
time, from the claim to the end, that had passed by then: the distance is in points. A perfect bar has 0 everywhere. Half of the
databases were never analysed, so that the server has no estimate of their rows. pg_dump compresses (gzip:6), so that a dump takes
its time with less data; with `--codecs`, pgdumpd does, with that. Every dump must take 20 seconds or more: where one is over sooner, its database is made again with as much
more data as that needs (not with --quick).
"""

import json
import random
import signal
import statistics
import sys
import time

from benchlib import Daemon, fail, machine, options, settle, sql, wrap_pg_dump

DATABASES = options.rounds or (2 if options.quick else 10)
# As COPY writes them: a dump of at least 20 seconds with gzip:6 on one core.
MEGABYTES = options.megabytes or (250 if options.quick else 900)
SHORTEST = 0 if options.quick or options.tables else 20
# How often a database is enlarged before the benchmark gives up.
ENLARGED = 3
GOAL = 5.0
HOW = [f'compression = "{options.codecs}"'] if options.codecs else ['compression = "gzip:6"', 'compressor = "pg_dump"']

# What a row is made of, and the bytes that COPY writes for one of them, about.
KINDS = {
    "narrow integers": ("i AS a, hashint4(i) AS b, i % 7 AS c", 22),
    "wide text": ("i AS id, (SELECT string_agg(md5((i * 31 + j)::text), ' ') FROM generate_series(1, 1 + i % 40) AS j) AS body", 690),
    "repetitive text": ("i AS id, repeat('pgdumpd backs up what you cannot lose; ', 20 + i % 150) AS body", 3700),
    "jsonb": ("i AS id, jsonb_build_object('id', i, 'name', md5(i::text), 'tags', jsonb_build_array('a', i % 9, null), "
              "'deep', jsonb_build_object('x', i * 1.5)) AS doc", 120),
    "bytea": ("i AS id, sha512(i::text::bytea) || sha512((i * 7)::text::bytea) || sha256(i::text::bytea) AS data", 330),
    "numbers and times": ("i AS id, i * 1.37::numeric AS n, now() + i * interval '1s' AS at, i / 3.0::float8 AS f", 75),
}


def load(name, seed, analyse, megabytes):
    """Tables of very different sizes, and sometimes large objects."""
    dice = random.Random(seed)
    sql(f"CREATE DATABASE {name}", "postgres")
    tables = dice.randint(1, 9)
    shares = [10 ** dice.uniform(-2.5, 0) for _ in range(tables)]
    total = sum(shares)
    described = []
    large_objects = megabytes * dice.uniform(0.05, 0.4) if dice.random() < 0.4 else 0
    for number, share in enumerate(shares):
        kind = dice.choice(list(KINDS))
        columns, width = KINDS[kind]
        rows = max(1, int((megabytes - large_objects) * 1e6 * share / total / width))
        sql(f"CREATE TABLE t{number} AS SELECT {columns} FROM generate_series(1, {rows}) AS i", name)
        # Rows that are gone still take their room on disk.
        if dice.random() < 0.25:
            sql(f"DELETE FROM t{number} WHERE ctid IN (SELECT ctid FROM t{number} TABLESAMPLE SYSTEM (30))", name)
        if dice.random() < 0.5:
            sql(f"CREATE INDEX ON t{number} ({'a' if kind == 'narrow integers' else 'id'})", name)
        described.append(f"{kind} {100 * share / total:.0f} %")
    if large_objects:
        count = max(1, int(large_objects * 1e6 / 260_000))
        sql(
            "SELECT lo_from_bytea((100000 + i)::oid, (SELECT string_agg(sha512((i * 8191 + j)::text::bytea), '') "
            f"FROM generate_series(1, 4000) AS j)) FROM generate_series(1, {count}) AS i",
            name,
        )
        described.append(f"{count} large objects")
    return settled(name, analyse, ", ".join(described))


def load_tables(name, analyse):
    """Many small tables."""
    sql(f"CREATE DATABASE {name}", "postgres")
    # Each transaction's locks fit into the server's table of them.
    for first in range(1, options.tables + 1, 1000):
        last = min(first + 999, options.tables)
        sql(
            f"DO $$ BEGIN FOR i IN {first}..{last} LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a text, b int DEFAULT 3); "
            "INSERT INTO t%s SELECT g, md5(g::text), g FROM generate_series(1, 20) AS g', i, i); END LOOP; END $$",
            name,
        )
    return settled(name, analyse, f"{options.tables} tables of 20 rows")


def settled(name, analyse, holds):
    if analyse:
        sql("VACUUM (ANALYZE)", name)
    sql("CHECKPOINT", "postgres")
    return holds


def watch(daemon, name):
    """Readings of (seconds since the claim, percentage), and the seconds from claim to end."""
    settle()
    job = daemon.enqueue(name)
    readings = []
    while True:
        state, seconds, percentage = sql(
            "SELECT state, coalesce(extract(epoch FROM coalesce(finished_at, clock_timestamp()) - started_at), 0), progress "
            f"FROM pgdumpd.backup_status WHERE id = '{job}'"
        ).split("|")
        if state in ["failed", "cancelled"]:
            fail(f"the backup of {name} {state}: " + sql(f"SELECT error FROM pgdumpd.backup_status WHERE id = '{job}'"))
        if state == "succeeded":
            daemon.delete_archives()
            return readings, float(seconds)
        if state == "running":
            readings.append((float(seconds), float(percentage)))
        time.sleep(0.2)


def measure(daemon, name, seed, analyse):
    """The seed, and what a database made from it showed."""
    megabytes = MEGABYTES
    for _ in range(1 + ENLARGED):
        holds = load_tables(name, analyse) if options.tables else load(name, seed, analyse, megabytes)
        if options.again:
            watch(daemon, name)
        readings, seconds = watch(daemon, name)
        sql(f"DROP DATABASE {name} WITH (FORCE)", "postgres")
        if seconds >= SHORTEST:
            break
        print(f"  seed {seed}: {seconds:.1f} s with {megabytes} MB is too short: once more with more data", flush=True)
        megabytes = int(megabytes * 1.2 * SHORTEST / seconds)
    else:
        fail(f"the backup of {name} still takes less than {SHORTEST} s")
    if len(readings) < 10:
        fail(f"the backup of {name} was over after {len(readings)} readings: too little data")
    distances = [(abs(percentage - 100 * at / seconds), at, percentage) for at, percentage in readings]
    largest, at, percentage = max(distances)
    return {
        "seed": seed,
        "analysed": analyse,
        "megabytes": megabytes,
        "seconds": seconds,
        "mean": statistics.mean(distance for distance, _, _ in distances),
        "largest": largest,
        "largest_at": f"{percentage:.0f} % said at {100 * at / seconds:.0f} %",
        "holds": holds,
        "readings": readings,
    }


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine()
    sql("CREATE DATABASE queue", "postgres")
    sql("ALTER SYSTEM SET autovacuum = off", "postgres")
    sql("SELECT pg_reload_conf()", "postgres")
    wrap_pg_dump()
    names = [f"d{number}" for number in range(DATABASES)]
    daemon = Daemon({name: (name, HOW) for name in names})
    found = []
    try:
        for number, name in enumerate(names):
            one = measure(daemon, name, 4711 + number, analyse=number % 2 == 0)
            found.append(one)
            print(
                f"  seed {one['seed']}: {one['seconds']:.1f} s, mean {one['mean']:.1f}, largest {one['largest']:.1f} points "
                f"({one['largest_at']}): {one['holds']}",
                flush=True,
            )
    finally:
        daemon.stop()

    print(f"\n{facts}\n")
    print(f"{DATABASES} databases, {', '.join(HOW)}. Distance between the percentage and the share of the time, in points:\n")
    print("| seed | MB | analysed | dump, s | mean | largest | when | holds |\n|---|---|---|---|---|---|---|---|")
    for one in found:
        print(
            f"| {one['seed']} | {one['megabytes']} | {'yes' if one['analysed'] else 'no'} | {one['seconds']:.1f} | {one['mean']:.1f} "
            f"| {one['largest']:.1f} | {one['largest_at']} | {one['holds']} |"
        )
    median = statistics.median(one["mean"] for one in found)
    print(f"\nThe mean of the median database: {median:.1f} points (goal: at most {GOAL:.0f})")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": facts, "found": found}, file, indent=1)


main()

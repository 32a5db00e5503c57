"""`script/bench restore`: a restore by pgdumpd, from a local storage and from S3 (encrypted), against pg_restore of the same archive.

Rivals: `pg_restore -j N` of the archive on the local disk, as `pgdumpd fetch` writes it; and the same after `aws s3 cp` has brought it,
not encrypted, to a file. All in turn, each into a new database of the same server, without ANALYZE. Wall time is the command's; CPU time
that of the client processes alone. Memory: the largest of pgdumpd's processes.
"""

import os
import signal
import statistics
import subprocess
import sys
import time

from seaweed import BUCKET, KEY, SECRET, VENV, Seaweed

from benchlib import MAJOR, PG_BIN, PGDUMPD, WORK, Daemon, compared, fail, in_turn, machine, options, postmaster, cpu_seconds, settle, sql, url, wrap_pg_dump

MEGABYTES = options.megabytes or (60 if options.quick else 1100)
ROUNDS = options.rounds or (1 if options.quick else 7)
JOBS = os.cpu_count()
GOALS = {"pgdumpd, local": 1.1, "pgdumpd, S3, encrypted": 1.1}
MEMORY_GOAL_MB = 150


def load():
    """Tables as applications have them, with their keys and an index each."""
    print(f"loading {MEGABYTES} MB", flush=True)
    sql("CREATE DATABASE shop", "postgres")
    tables = [
        ("texts", 0.55, "i AS id, 'text ' || i AS title, md5(i::text) || ' the quick brown fox ' || md5((i * 3)::text) || ' jumps over ' || i || "
         "' lazy dogs ' || md5((i * 5)::text) AS body, now() + i * interval '1s' AS at", "at"),
        ("numbers", 0.20, "i AS id, hashint4(i) AS a, i % 1000 AS b, now()::date + i % 365 AS day", "a"),
        ("documents", 0.25, "i AS id, jsonb_build_object('name', 'n' || i, 'hash', md5(i::text), 'list', jsonb_build_array(i, i + 1, null)) AS doc", "(doc ->> 'name')"),
    ]
    for table, share, columns, indexed in tables:
        sample = sql(f"SELECT sum(octet_length(r::text)) FROM (SELECT {columns} FROM generate_series(1000001, 1001000) AS i) AS r", "shop")
        rows = int(MEGABYTES * 1e6 * share * 1000 / int(sample))
        sql(f"CREATE TABLE {table} AS SELECT {columns} FROM generate_series(1, {rows}) AS i", "shop")
        sql(f"ALTER TABLE {table} ADD PRIMARY KEY (id)", "shop")
        sql(f"CREATE INDEX ON {table} ({indexed})", "shop")
    sql("VACUUM (FREEZE, ANALYZE)", "shop")
    sql("CHECKPOINT", "postgres")


def back_up():
    """A backup in the local storage and its encrypted twin in S3: two targets of one database."""
    daemon = Daemon({"plain": ("shop", ['compression = "zstd:1"']), "sealed": ("shop", ['compression = "zstd:1"'])}, daemon=())
    try:
        job = daemon.enqueue("plain")
        daemon.wait_for(job, 0.2)
    finally:
        daemon.stop()
    return job


def configure(seaweed):
    """The same with a storage in S3, and a target that is encrypted."""
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True)
    with open(f"{WORK}/own.key", "w") as file:
        file.write(key.stdout)
    public = key.stdout.split("public key: ")[1].split()[0]
    with open(f"{WORK}/pgdumpd.toml", "a") as file:
        file.write(
            f'[targets.away]\nurl = "{url("shop")}"\nstorage = "s3"\ncompression = "zstd:1"\nencrypt_to = ["{public}"]\n'
            f'[storages.s3]\nurl = "s3://{BUCKET}/ours"\nendpoint = "{seaweed.endpoint}"\nregion = "us-east-1"\n'
            f'access_key_id = "{KEY}"\nsecret_access_key = "{SECRET}"\n'
        )
    environment = dict(os.environ, PGDUMPD_CONFIG=f"{WORK}/pgdumpd.toml")
    log = open(f"{WORK}/daemon.log", "a")
    process = subprocess.Popen([PGDUMPD, "run"], env=environment, stdout=log, stderr=log)
    try:
        job = sql("INSERT INTO pgdumpd.backup_jobs (target) VALUES ('away') RETURNING id")
        deadline = time.time() + 600
        while sql(f"SELECT state FROM pgdumpd.backup_status WHERE id = '{job}'") != "succeeded":
            if time.time() > deadline or process.poll() is not None:
                fail("the backup to S3 did not succeed: " + open(f"{WORK}/daemon.log").read()[-2000:])
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    return job


def timed(command, environment=None, codes=(0,)):
    """Into a new database called `back`: wall, CPU of the client, CPU of the server, most memory in MB."""
    sql("DROP DATABASE IF EXISTS back", "postgres")
    sql("CREATE DATABASE back TEMPLATE template0", "postgres")
    sql("CHECKPOINT", "postgres")
    settle()
    server = cpu_seconds(postmaster(), 16, 17)
    started = time.monotonic()
    child = subprocess.Popen(["bash", "-c", command], env=dict(os.environ, **(environment or {})), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in codes:
        fail(f"{command} ended with {child.returncode}: {said[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, cpu_seconds(postmaster(), 16, 17) - server, usage.ru_maxrss / 1000


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if MAJOR < 16:
        fail("pg_dump 16 or newer is needed, for its own zstd: set PGDUMPD_TEST_PG_BIN")
    facts = machine()
    sql("CREATE DATABASE queue", "postgres")
    load()
    wrap_pg_dump()
    # pg_restore lies beside pg_dump.
    os.symlink(f"{PG_BIN}/pg_restore", f"{WORK}/wrapper/pg_restore")
    seaweed = Seaweed()
    try:
        local = back_up()
        away = configure(seaweed)
        config = {"PGDUMPD_CONFIG": f"{WORK}/pgdumpd.toml"}
        aws = {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": seaweed.endpoint,
        }
        archive, staged = f"{WORK}/shop.dump", f"{WORK}/staged.dump"
        subprocess.run([PGDUMPD, "fetch", local, "-o", archive], env=dict(os.environ, **config), check=True, stdout=subprocess.DEVNULL)
        subprocess.run([f"{VENV}/aws", "s3", "cp", "--quiet", archive, f"s3://{BUCKET}/rival/shop.dump"], env=dict(os.environ, **aws), check=True)
        into = url("back")
        pg_restore = f"{PG_BIN}/pg_restore --exit-on-error -j {JOBS} -d '{into}'"
        ours = f"{PGDUMPD} restore --into '{into}' --jobs {JOBS} --no-analyze"
        ways = {
            f"pg_restore -j {JOBS}": lambda: timed(f"{pg_restore} {archive}"),
            "pgdumpd, local": lambda: timed(f"{ours} {local}", config),
            "pgdumpd, S3, encrypted": lambda: timed(f"{ours} {away} --identity {WORK}/own.key", config),
            f"aws s3 cp, then pg_restore -j {JOBS}": lambda: timed(
                f"{VENV}/aws s3 cp --quiet s3://{BUCKET}/rival/shop.dump {staged} && {pg_restore} {staged} && rm {staged}", aws),
        }
        print("warming up", flush=True)
        ways["pgdumpd, local"]()
        results = in_turn(ways, ROUNDS)
    finally:
        seaweed.stop()

    size = os.path.getsize(archive)
    print(f"\n{facts}\n\n{MEGABYTES} MB of rows, {size / 1e6:.0f} MB stored (zstd:1), {JOBS} jobs, {ROUNDS} rounds in turn, median (least–most); "
          "ratios round by round, to pg_restore of the local file.\n")
    print("| restored by | wall, s | ratio | CPU of clients, s | CPU of the server, s | memory, MB |\n|---|---|---|---|---|---|")
    base = results[f"pg_restore -j {JOBS}"]
    missed = []
    for way, values in results.items():
        column, ratio = compared(values, base)
        memory = max(value[3] for value in values)
        print(f"| {way} | {column(0)} | {ratio(0)} | {column(1)} | {column(2)} | {memory:.0f} |")
        found = statistics.median(v[0] / b[0] for v, b in zip(values, base))
        if found > GOALS.get(way, found):
            missed.append(f"{way}: {found:.2f} of pg_restore, goal {GOALS[way]}")
        if way in GOALS and memory > MEMORY_GOAL_MB:
            missed.append(f"{way}: {memory:.0f} MB of memory, goal {MEMORY_GOAL_MB}")
    for text in missed:
        print(f"goal missed: {text}")
    sys.exit(1 if missed and not options.quick else 0)


main()

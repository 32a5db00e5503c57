"""`script/bench s3`: a backup to S3 on loopback, against pg_dump through the AWS client and through rclone.

The server is a SeaweedFS that the benchmark starts. Ours: jobs of one daemon, zstd:1, with parts checked by SHA-256, a manifest and an
index; wall time is the row's finished_at - created_at. Rivals: `pg_dump -Fc --compress=zstd:1 | aws s3 cp - s3://…` and
`… | rclone rcat`. All in turn. CPU time is of the client processes: the daemon and its pg_dump, or the rival's pipeline; not of the
two servers. Then one backup without compression, and the daemon's resident memory at most (VmHWM) until it was stored.
"""

import os
import resource
import signal
import statistics
import subprocess
import sys
import time

from seaweed import BUCKET, KEY, SECRET, VENV, Seaweed

from benchlib import MAJOR, PG_BIN, WORK, Daemon, compared, cpu_seconds, fail, in_turn, machine, options, settle, sql, url, wrap_pg_dump

MEGABYTES = options.megabytes or (60 if options.quick else 1100)
LARGE_MEGABYTES = 3 * MEGABYTES
ROUNDS = options.rounds or (1 if options.quick else 7)
MEMORY_GOAL_MB = 150


def load(name, megabytes):
    print(f"loading {megabytes} MB", flush=True)
    sql(f"CREATE DATABASE {name}", "postgres")
    columns = (
        "i AS id, md5(i::text) || ' the quick brown fox ' || md5((i * 3)::text) || ' jumps over ' || i || ' lazy dogs ' || "
        "md5((i * 5)::text) AS body, now() + i * interval '1s' AS at"
    )
    sample = sql(f"SELECT sum(octet_length(r::text)) FROM (SELECT {columns} FROM generate_series(1000001, 1001000) AS i) AS r", name)
    sql(f"CREATE TABLE texts AS SELECT {columns} FROM generate_series(1, {int(megabytes * 1e6 * 1000 / int(sample))}) AS i", name)
    sql("VACUUM (FREEZE, ANALYZE)", name)
    sql("CHECKPOINT", "postgres")


def ours(daemon, target):
    settle()
    before = cpu_seconds(daemon.pid, 14, 15, 16, 17)
    job = daemon.enqueue(target)
    daemon.wait_for(job, 0.1)
    wall, size = sql(
        f"SELECT extract(epoch FROM finished_at - created_at), size_bytes FROM pgdumpd.backup_status WHERE id = '{job}'"
    ).split("|")
    return float(wall), cpu_seconds(daemon.pid, 14, 15, 16, 17) - before, int(size)


def rival(seaweed, command):
    """A shell pipeline that writes to the key rival/dump."""
    settle()
    environment = dict(
        os.environ, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true",
        AWS_ENDPOINT_URL=seaweed.endpoint,
        RCLONE_CONFIG="/dev/null", RCLONE_S3_PROVIDER="Other", RCLONE_S3_ACCESS_KEY_ID=KEY, RCLONE_S3_SECRET_ACCESS_KEY=SECRET,
        RCLONE_S3_ENDPOINT=seaweed.endpoint, RCLONE_S3_REGION="us-east-1", RCLONE_S3_NO_CHECK_BUCKET="true",
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        fail(f"{command}: {done.stderr.strip()[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seaweed.size("rival/dump")


def memory_at_most(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if MAJOR < 16:
        fail("pg_dump 16 or newer is needed, for its own zstd: set PGDUMPD_TEST_PG_BIN")
    facts = machine()
    sql("CREATE DATABASE queue", "postgres")
    load("one", MEGABYTES)
    wrap_pg_dump()
    seaweed = Seaweed()
    daemon = None
    try:
        daemon = Daemon(
            {
                "one": ("one", ['compression = "zstd:1"']),
                "large": ("large", ['compression = "none"']),
            },
            [f'url = "s3://{BUCKET}/ours"', f'endpoint = "{seaweed.endpoint}"', 'region = "us-east-1"', f'access_key_id = "{KEY}"',
             f'secret_access_key = "{SECRET}"'],
        )
        dump = f"{PG_BIN}/pg_dump -Fc --compress=zstd:1 -d '{url('one')}'"
        ways = {
            "pgdumpd": lambda: ours(daemon, "one"),
            "pg_dump \\| aws s3 cp": lambda: rival(seaweed, f"{dump} | {VENV}/aws s3 cp --quiet - s3://{BUCKET}/rival/dump"),
            "pg_dump \\| rclone rcat": lambda: rival(seaweed, f"{dump} | {VENV}/rclone rcat :s3:{BUCKET}/rival/dump"),
        }
        print("warming up", flush=True)
        ways["pgdumpd"]()
        results = in_turn(ways, ROUNDS)
        sql("DROP DATABASE one", "postgres")
        load("large", LARGE_MEGABYTES)
        wall, _, stored = ours(daemon, "large")
        memory = memory_at_most(daemon.pid)
    finally:
        if daemon:
            daemon.stop()
        seaweed.stop()

    print(f"\n{facts}\n\n{MEGABYTES} MB of rows, zstd:1, {ROUNDS} rounds in turn, median (least–most); ratios round by round, to ours.\n")
    print("| to S3 by | wall, s | ratio | CPU, s | ratio | stored, MB |\n|---|---|---|---|---|---|")
    base = results["pgdumpd"]
    for way, values in results.items():
        column, ratio = compared(values, base)
        print(f"| {way} | {column(0)} | {ratio(0)} | {column(1)} | {ratio(1)} | {statistics.median(v[2] for v in values) / 1e6:.1f} |")
    print(
        f"\nThe daemon's memory at most, after {stored / 1e9:.2f} GB without compression in {wall:.0f} s: {memory:.0f} MB "
        f"(goal: below {MEMORY_GOAL_MB})"
    )


main()

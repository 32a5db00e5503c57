"""What the benchmarks of script/bench share: a daemon, processor time, machine and medians. Standard library only."""

import argparse
import glob
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")

parser = argparse.ArgumentParser()
parser.add_argument("--work", required=True)
parser.add_argument("--pg-bin", required=True)
parser.add_argument("--quick", action="store_true")
parser.add_argument("--megabytes", type=int, help="how much data, instead of the benchmark's own size")
parser.add_argument("--rounds", type=int, help="how many rounds, instead of the benchmark's own number")
parser.add_argument("--codecs", help="speed: only these, such as zstd:1,gzip:6; progress: this one, by pgdumpd itself")
parser.add_argument("--tables", type=int, help="progress: databases of so many small tables instead")
parser.add_argument("--again", action="store_true", help="progress: measures the second backup of each database, not the first")
parser.add_argument("--statements", metavar="FOLDER", help="queue: the statements of the older build that PGDUMPD_BIN is")
parser.add_argument("--json", metavar="FILE", help="also write every number here")
options = parser.parse_args()

WORK, PG_BIN, PGDUMPD = options.work, options.pg_bin, os.environ["PGDUMPD_BIN"]
MAJOR = int(subprocess.run([f"{PG_BIN}/pg_dump", "--version"], capture_output=True, text=True).stdout.split()[2].split(".")[0])
DUMPS_STARTED = f"{WORK}/dumps-started"


def fail(text):
    sys.exit(f"error: {text}")


def url(database):
    return f"postgres://postgres@{WORK.replace('/', '%2F')}%2Fsocket:5432/{database}"


def sql(text, database="queue"):
    command = [f"{PG_BIN}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url(database), "-c", text]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{done.stderr.strip()}, in: {text}")
    return done.stdout.strip()


def wrap_pg_dump():
    """A pg_dump that notes when it was started, and with what."""
    os.mkdir(f"{WORK}/wrapper")
    with open(f"{WORK}/wrapper/pg_dump", "w") as wrapper:
        wrapper.write(
            "#!/bin/bash\n"
            f'[ "$1" = --version ] || echo "$EPOCHREALTIME $*" >>{DUMPS_STARTED}\n'
            f'exec {PG_BIN}/pg_dump "$@"\n'
        )
    os.chmod(f"{WORK}/wrapper/pg_dump", 0o755)
    open(DUMPS_STARTED, "w").close()


def dumps_started():
    with open(DUMPS_STARTED) as file:
        return [line.rstrip("\n").split(" ", 1) for line in file]


class Daemon:
    """pgdumpd run. `targets`: by name, the database and further lines of the target's configuration."""

    def __init__(self, targets, storage=None, daemon=()):
        """`storage`: lines of the storage's section instead of those of a local directory; `daemon`: of the daemon's."""
        storage = storage or [f'path = "{WORK}/backups"', 'min_free = "100MiB"']
        targets = "".join(
            f'[targets."{name}"]\nurl = "{url(database)}"\nstorage = "local"\n' + "".join(f"{line}\n" for line in lines)
            for name, (database, lines) in targets.items()
        )
        with open(f"{WORK}/pgdumpd.toml", "w") as file:
            file.write(
                f'[queue]\nurl = "{url("queue")}"\n[pg_dump]\ndirectories = ["{WORK}/wrapper"]\n'
                + "[daemon]\n" + "".join(f"{line}\n" for line in daemon) + "[storages.local]\n" + "".join(f"{line}\n" for line in storage) + targets
            )
        os.mkdir(f"{WORK}/backups")
        environment = dict(os.environ, PGDUMPD_CONFIG=f"{WORK}/pgdumpd.toml")
        subprocess.run([PGDUMPD, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
        sql("CREATE TABLE marker (job uuid)")
        self.log = open(f"{WORK}/daemon.log", "w")
        self.process = subprocess.Popen([PGDUMPD, "run"], env=environment, stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        deadline = time.time() + 30
        while sql("SELECT count(*) FROM pgdumpd.daemon_status WHERE state = 'alive'") == "0":
            if time.time() > deadline or self.process.poll() is not None:
                fail("the daemon does not start: " + open(f"{WORK}/daemon.log").read()[-2000:])
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def enqueue(self, target):
        return sql(
            f"WITH job AS (INSERT INTO pgdumpd.backup_jobs (target) VALUES ('{target}') RETURNING id) "
            "INSERT INTO marker SELECT id FROM job RETURNING job"
        )

    def wait_for(self, job, every):
        while True:
            state = sql(f"SELECT state FROM pgdumpd.backup_status WHERE id = '{job}' AND finished_at IS NOT NULL")
            if state == "succeeded":
                return
            if state:
                fail(f"job {job} {state}: " + sql(f"SELECT error FROM pgdumpd.backup_status WHERE id = '{job}'"))
            time.sleep(every)

    def delete_archives(self):
        for path in glob.glob(f"{WORK}/backups/**/*", recursive=True):
            if os.path.isfile(path) and os.path.getsize(path) > 1 << 20:
                os.unlink(path)


def cpu_seconds(pid, *fields):
    """The sum of fields of /proc/PID/stat: 14 utime, 15 stime, 16 cutime, 17 cstime."""
    with open(f"/proc/{pid}/stat") as file:
        values = file.read().rsplit(")", 1)[1].split()
    return sum(int(values[field - 3]) for field in fields) / TICKS


def postmaster():
    with open(f"{WORK}/data/postmaster.pid") as file:
        return int(file.readline())


def settle():
    """What the last run left in the page cache must not be written during the next."""
    os.sync()
    time.sleep(1)


def in_turn(ways, rounds):
    """What each way (a function) gave in each round. Each comes early as often as late."""
    results = {way: [] for way in ways}
    name = lambda way: way if isinstance(way, str) else " ".join(way)
    print(f"{rounds} rounds of {len(ways)} ways", flush=True)
    for number in range(rounds):
        order = list(ways)
        order = order[number % len(order):] + order[: number % len(order)]
        for way in order if number % 2 == 0 else reversed(order):
            results[way].append(ways[way]())
        print(f"  round {number + 1}: " + ", ".join(f"{name(way)} {results[way][-1][0]:.1f} s" for way in ways), flush=True)
    return results


def compared(values, base):
    """The spread of a field over the rounds, and that of its ratio to another way's, round by round."""
    column = lambda field: spread([v[field] for v in values])
    ratio = lambda field: spread([v[field] / b[field] for v, b in zip(values, base)])
    return column, ratio


def spread(values, unit="", digits=2):
    return f"{statistics.median(values):.{digits}f}{unit} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def p99(values):
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo") as file:
        memory_gb = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1)) / 1e6
    version = subprocess.run([f"{PG_BIN}/pg_dump", "--version"], capture_output=True, text=True).stdout.strip()
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", WORK], capture_output=True, text=True).stdout.strip()
    return (
        f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, "
        f"Linux {platform.release()}, {filesystem}, {version}, load {os.getloadavg()[0]:.1f}"
    )



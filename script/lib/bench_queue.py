"""`script/bench queue`: what is asked of a queue with a million rows. Standard library only.

Fills a queue in the server (bench_queue.sql): 1,000,000 ended jobs, 200,000 of later, 100,000 due, 5,000 of them of one target that no
daemon serves. Then each view, command and statement is run in turn, in a session of its role, with the values that the daemon gives.
Wall time is from the sending of a statement to its last row in psql; of a command, from its start to its end, connecting included. CPU
is that of the server's process (/proc/PID/schedstat), which says more on a machine that has other work. What writes is rolled back.

A p50 of wall time above LIMIT_MS fails; where the machine has more other work than cores, of CPU. PGDUMPD_BIN of an older build with `--statements FOLDER`, that build's crates/pgdumpd/src/queue/sql, shows how
the older schema did; nothing fails then, and what takes longer than TIMEOUT is said to.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

from benchlib import PG_BIN, PGDUMPD, WORK, fail, machine, options, p99, sql, url

LIMIT_MS = 50
# Their work is not that of a page: a column of each of 5,000 jobs, each of 300,000 jobs, and connections to every target and
# storage with two runs of pg_dump. They are printed, and judged by nobody.
WITHOUT_LIMIT = ("backup_status, first 50 by queue_position of the target with 5,000 due", "backup_monitoring, count(*)", "`pgdumpd check`")
TIMEOUT = 10
ROUNDS = options.rounds or (3 if options.quick else 25)
ENDED, FUTURE, DUE, BACKLOG, TARGETS = (20000, 4000, 3000, 1000, 100) if options.quick else (1000000, 200000, 100000, 5000, 1000)
ROLES = {"application": "producer", "few": "producer", "reader": "reader", "operator": "operator", "daemon": "daemon"}
STATEMENTS = options.statements or os.path.join(os.path.dirname(__file__), "../../crates/pgdumpd/src/queue/sql")


class Session:
    """A psql that stays."""

    def __init__(self, role):
        command = [f"{PG_BIN}/psql", "-X", "-q", "-A", "-t", "-d", url("queue").replace("postgres@", f"{role}@")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.backend = int(self.run("SELECT pg_backend_pid();")[0])
        self.run(f"SET statement_timeout = '{TIMEOUT}s'; SET client_min_messages = warning; SET search_path = pg_catalog, pg_temp;")

    def run(self, text):
        self.process.stdin.write(text + "\n\\echo end-of-answer\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "end-of-answer\n":
                return lines
            lines.append(line.rstrip("\n"))
        fail(f"psql ended: {lines[-3:]}")

    def cpu_ms(self):
        with open(f"/proc/{self.backend}/schedstat") as file:
            return int(file.read().split()[0]) / 1e6

    def measure(self, text, around=None):
        """Wall and CPU in ms, and how many rows; None where it took too long."""
        if around:
            self.run(around[0])
        cpu, started = self.cpu_ms(), time.monotonic()
        lines = self.run(text)
        wall, cpu = 1000 * (time.monotonic() - started), self.cpu_ms() - cpu
        if around:
            self.run(around[1])
        error = next((line for line in lines if "ERROR:" in line), None)
        if error and "statement timeout" in error:
            return None
        if error:
            raise LookupError(error)
        return wall, cpu, len(lines)


def statement(name, *values):
    """A statement of the daemon's, with values in place of its parameters."""
    with open(os.path.join(STATEMENTS, f"{name}.sql")) as file:
        text = file.read()
    for number in range(len(values), 0, -1):
        text = text.replace(f"${number}", values[number - 1])
    return text.rstrip() + ";"


def selects(markdown, heading):
    """The SELECTs of the ```sql blocks of a document."""
    with open(os.path.join(os.path.dirname(__file__), "../../docs", markdown)) as file:
        text = file.read()
    for block in re.findall(r"```sql\n(.*?)```", text, re.S):
        for query in re.split(r";\n", block):
            query = re.sub(r"^--.*$", "", query, flags=re.M).strip().rstrip(";")
            if query.startswith("SELECT") and "…" not in query:
                yield f"{heading}: {' '.join(query.split())[:70]}…", query + ";"


def questions():
    """Name, text and roles of everything that is asked."""
    queue, job, running = sql("SELECT id FROM pgdumpd.queue"), sql("SELECT md5('ended 500')::uuid"), sql("SELECT id, lease_token FROM pgdumpd.backup_jobs WHERE state = 'running' LIMIT 1").split("|")
    worker = sql("SELECT id FROM pgdumpd.workers ORDER BY host LIMIT 1")
    targets = sql("SELECT targets FROM pgdumpd.workers LIMIT 1")
    everyone, seers = ["operator", "daemon", "reader", "application", "few"], ["operator", "daemon", "reader"]
    status = "SELECT * FROM pgdumpd.backup_status"
    asked = [
        ("backup_status, one id", f"{status} WHERE id = '{job}';", everyone),
        ("backup_status, 50 newest", f"{status} ORDER BY created_at DESC, id DESC LIMIT 50;", everyone),
        ("backup_status, 50 newest of a target", f"{status} WHERE target = 'target-7' ORDER BY created_at DESC, id DESC LIMIT 50;", everyone),
        ("backup_status, 50 newest that failed", f"{status} WHERE state = 'failed' ORDER BY created_at DESC, id DESC LIMIT 50;", everyone),
        ("backup_status, 200 newest queued", f"{status} WHERE state = 'queued' ORDER BY created_at DESC, id DESC LIMIT 200;", everyone),
        ("backup_status, first 50 by queue_position of the target with 5,000 due", f"{status} WHERE target = 'backlog' ORDER BY queue_position LIMIT 50;", everyone),
        ("backup_monitoring, 100", "SELECT * FROM pgdumpd.backup_monitoring LIMIT 100;", everyone),
        ("backup_monitoring, count(*)", "SELECT count(*) FROM pgdumpd.backup_monitoring;", everyone),
        ("backup_monitoring WHERE unserved", "SELECT id, target, since FROM pgdumpd.backup_monitoring WHERE unserved;", everyone),
        ("daemon_status", "SELECT * FROM pgdumpd.daemon_status;", everyone),
    ]
    asked += [(name, query, seers) for name, query in selects("OPERATIONS.md", "OPERATIONS.md")]
    storage, ids = "'{local,offsite}'", "'{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}'"
    token = "gen_random_uuid()"
    asked += [
        ("claim", statement("claim", f"'{targets}'", "'{1}'", f"'{worker}'::uuid", token, "300", "1", f"'{queue}'"), ["daemon"]),
        ("claim_copy", statement("claim_copy", storage, ids, f"'{worker}'::uuid", token, "300", "1", f"'{queue}'"), ["daemon"]),
        ("next_due", statement("next_due", f"'{targets}'", "'{1}'"), ["daemon"]),
        ("next_due_copy", statement("next_due_copy", storage), ["daemon"]),
        ("heartbeat", statement("heartbeat", f"'{running[0]}'", f"'{running[1]}'", "300", "'data'", "50", "'m'", "NULL", "1", "2", "3", "4", "5", "6", "7"), ["daemon"]),
        ("leftovers", statement("leftovers", f"'{targets}'", "20", "'{}'", storage, ids, f"'{queue}'"), ["daemon"]),
        ("reap_cancelled", statement("reap_cancelled"), ["daemon"]),
        ("reap_expired", statement("reap_expired", "3", f"'{queue}'"), ["daemon"]),
        ("kept_backups", statement("kept_backups", f"'{queue}'", "'target-7'", "'00000000-0000-0000-0000-000000000001'::uuid"), ["daemon"]),
        ("last_size", statement("last_size", "'target-7'", "'{}'::jsonb"), ["daemon"]),
        ("last_database", statement("last_database", "'target-7'"), ["daemon"]),
        ("deletions_to_finish", statement("deletions_to_finish", ids, "20", "'{}'", f"'{queue}'"), ["daemon"]),
        ("prune_workers", statement("prune_workers"), ["daemon"]),
        ("storages_known (check)", statement("storages_known"), ["daemon"]),
        ("target_differences (check)", statement("target_differences", "NULL"), ["daemon"]),
        ("live_workers (check)", statement("live_workers"), ["daemon"]),
        ("attempt_is_in_use (fsck)", statement("attempt_is_in_use", f"'{running[1]}'", f"'{queue}'"), ["daemon"]),
        ("key_is_recorded (fsck)", statement("key_is_recorded", "'no such key'"), ["daemon"]),
        ("audit_attempts (fsck)", statement("audit_attempts", "'{}'::uuid[]", "'00000000-0000-0000-0000-000000000001'::uuid"), ["daemon"]),
        ("stored_elsewhere (fsck)", statement("stored_elsewhere", "'{}'::uuid[]"), ["daemon"]),
    ]
    return asked


def storage_and_target():
    """Lines of a configuration: an empty storage that is there, and the queue's database as a target."""
    folder = f"{WORK}/storage"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/pgdumpd-storage.json", "w") as file:
        json.dump({"format": 1, "storage_id": "00000000-0000-0000-0000-000000000009"}, file)
    return f'[storages.local]\npath = "{folder}"\n[targets.queue]\nurl = "{url("queue")}"\nstorage = "local"\n'


def command(role, *arguments, config="", codes=(0,)):
    """Wall in ms of a command, and how many lines it printed."""
    path = f"{WORK}/{role}.toml"
    with open(path, "w") as file:
        file.write(f'[queue]\nurl = "{url("queue").replace("postgres@", f"{role}@")}"\n{config}')
    started = time.monotonic()
    try:
        done = subprocess.run([PGDUMPD, "-c", path, *arguments], capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode not in codes:
        raise LookupError((done.stderr.strip() or done.stdout.strip()).splitlines()[0])
    return 1000 * (time.monotonic() - started), None, len(done.stdout.splitlines())


def rounds(measure):
    """p50 and p99 of wall time, p50 of CPU, rows; once more than ROUNDS, because the first fills caches."""
    measured = []
    for number in range(ROUNDS + 1):
        one = measure()
        if one is None:
            return None
        measured.append(one)
    measured = measured[1:]
    walls, cpus = [one[0] for one in measured], [one[1] for one in measured]
    return statistics.median(walls), p99(walls), None if cpus[0] is None else statistics.median(cpus), measured[-1][2]


def fill():
    print(f"filling: {ENDED:,} ended, {FUTURE:,} of later, {DUE:,} due", flush=True)
    sql("CREATE DATABASE queue", "postgres")
    for role in ROLES:
        sql(f"CREATE ROLE {role} LOGIN", "postgres")
    path = f"{WORK}/owner.toml"
    with open(path, "w") as file:
        file.write(f'[queue]\nurl = "{url("queue")}"\n')
    grants = [argument for role, part in ROLES.items() for argument in (f"--grant-{part}", role)]
    subprocess.run([PGDUMPD, "-c", path, "migrate", *grants], check=True, stdout=subprocess.DEVNULL)
    started = time.monotonic()
    numbers = [f"--set={name}={value}" for name, value in [("ended", ENDED), ("future", FUTURE), ("due", DUE), ("backlog", BACKLOG), ("targets", TARGETS)]]
    done = subprocess.run([f"{PG_BIN}/psql", "-X", "-q", *numbers, "-d", url("queue"), "-f", os.path.join(os.path.dirname(__file__), "bench_queue.sql")])
    if done.returncode != 0:
        fail("the queue could not be filled")
    size = sql("SELECT pg_size_pretty(pg_database_size('queue'))")
    print(f"filled in {time.monotonic() - started:.0f} s, {size}", flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(machine(), flush=True)
    fill()
    sessions = {role: Session(role) for role in ROLES}
    table, slow = [], []
    busy = os.getloadavg()[0] > os.cpu_count()
    print(f"load {os.getloadavg()[0]:.1f}\n\n| asked | as | rows | p50, ms | p99, ms | CPU, ms |\n|---|---|---|---|---|---|", flush=True)

    def show(name, role, measure):
        try:
            found = rounds(measure)
        except LookupError as error:
            print(f"| {name} | {role} | | {error} | | |", flush=True)
            if not options.statements:
                slow.append(f"{name} as {role}: {error}")
            return
        if found is None:
            print(f"| {name} | {role} | | > {1000 * TIMEOUT:,} | | |", flush=True)
            slow.append(f"{name} as {role}: longer than {TIMEOUT} s")
            return
        p50, last, cpu, rows = found
        table.append({"asked": name, "as": role, "rows": rows, "p50_ms": p50, "p99_ms": last, "cpu_ms": cpu})
        print(f"| {name} | {role} | {rows:,} | {p50:.1f} | {last:.1f} | {'' if cpu is None else f'{cpu:.1f}'} |", flush=True)
        judged = p50 if cpu is None or not busy else cpu
        if judged > LIMIT_MS and name not in WITHOUT_LIMIT and not (busy and cpu is None):
            slow.append(f"{name} as {role}: {judged:.0f} ms")

    for name, text, roles in questions():
        for role in roles:
            around = ("BEGIN;", "ROLLBACK;") if roles == ["daemon"] else None
            show(name, role, lambda: sessions[role].measure(text, around))
    for arguments in [("status",), ("list",), ("list", "--target", "target-7"), ("list", "--target", "large"), ("list", "--state", "failed"), ("list", "--copies")]:
        for role in ["operator", "application"]:
            show(f"`pgdumpd {' '.join(arguments)}`", role, lambda: command(role, *arguments))
    # Both end with 6, for what the queue says of daemons and storages that are not there.
    for arguments in [("check",), ("fsck",)]:
        show(f"`pgdumpd {arguments[0]}`", "daemon", lambda: command("daemon", *arguments, config=storage_and_target(), codes=(0, 6)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(table, file, indent=1)
    for text in slow:
        print(f"above {LIMIT_MS} ms: {text}")
    if slow and not options.statements:
        sys.exit(1)


main()

#!/usr/bin/env python3
"""Asks pgdumpd for a backup, follows it to its end, and exits with 0, 1 (failed) or 3 (cancelled)."""

import argparse
import os
import sys
import time
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

POLL_SECONDS = 0.5
EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="the name of the database to back up, as the daemon knows it")
    parser.add_argument("--label", help="your own label, kept with the backup")
    parser.add_argument("--key", help="an idempotency key: the same key gives the same job")
    parser.add_argument("--cancel", action="store_true", help="cancel the job as soon as it runs")
    arguments = parser.parse_args()
    if "DATABASE_URL" not in os.environ:
        parser.error("DATABASE_URL is not set")

    # Autocommit: no transaction stays open while this script waits.
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, row_factory=dict_row) as connection:
        job = enqueue(connection, arguments.target, arguments.label, arguments.key)
        if arguments.cancel:
            follow(connection, job, until=("running", *EXIT_CODES))
            print("cancel:", cancel(connection, job), flush=True)
        status = follow(connection, job, until=tuple(EXIT_CODES))

    if status["state"] == "succeeded":
        print(f"{status['size_bytes']} bytes, sha256 {status['sha256']}")
    if status["error"]:
        print(f"{status['error_step']}: {status['error']}", file=sys.stderr)
        print(status["error_hint"] or "", file=sys.stderr)
    return EXIT_CODES[status["state"]]


def enqueue(connection: psycopg.Connection, target: str, label: str | None, key: str | None) -> UUID:
    spec = {} if label is None else {"label": label}
    # What the application writes in this transaction and the request for its backup stand or fall together.
    with connection.transaction():
        row = connection.execute(
            """
            SELECT job_id, is_new
            FROM pgdumpd.enqueue_backup(target => %s, spec => %s, idempotency_key => %s)
            """,
            (target, psycopg.types.json.Jsonb(spec), key),
        ).fetchone()
    print("job", row["job_id"], "" if row["is_new"] else "(asked for before)", flush=True)
    return row["job_id"]


def follow(connection: psycopg.Connection, job: UUID, until: tuple[str, ...]) -> dict:
    """Prints a line for each change until the job is in one of these states."""
    printed = None
    while True:
        status = connection.execute("SELECT * FROM pgdumpd.backup_status WHERE id = %s", (job,)).fetchone()
        if status is None:
            sys.exit(f"job {job} is gone")
        line = f"{status['progress']:5.1f} %  {status['state']:9}  {status['message'] or status['waits_because'] or ''}"
        if line != printed:
            print(line.rstrip(), flush=True)
            printed = line
        if status["state"] in until:
            return status
        time.sleep(POLL_SECONDS)


def cancel(connection: psycopg.Connection, job: UUID) -> str:
    """Says what became of the job: cancelled, cancelling, or already_ and its end."""
    row = connection.execute("SELECT pgdumpd.cancel_backup(%s) AS became", (job,)).fetchone()
    return row["became"]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except psycopg.Error as error:
        # The server's own words, with its hint: an unknown key of the spec, a missing grant.
        sys.exit(f"{error.diag.message_primary or error}\n{error.diag.message_hint or ''}".rstrip())

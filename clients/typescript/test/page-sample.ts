import { randomUUID } from "node:crypto";
import type pg from "pg";

/**
 * What a queue holds after some weeks: three more targets of another daemon, one of which fails, with a backup that runs,
 * copies, and two jobs that wait. Nothing of it is done by a daemon.
 */
export async function fillQueue(owner: pg.Pool): Promise<void> {
  const worker = randomUUID();
  const checks = {
    findings: [
      { subject: "queue", severity: "ok", code: "ok", what: "the queue answers within 1 ms" },
      { subject: "target orders", severity: "ok", code: "ok", what: "PostgreSQL 18.1, 41.2 GiB, 312 tables" },
      {
        subject: "target analytics",
        severity: "warning",
        code: "size_grew",
        what: "the database has grown by 40 % since its last backup",
        hint: "Check that the storage has room for it.",
      },
      { subject: "storage nas", severity: "ok", code: "ok", what: "1.2 TiB of 4.0 TiB are free" },
    ],
  };
  await owner.query(
    `INSERT INTO pgdumpd.workers (id, host, pid, version, targets, spec_versions, max_jobs, max_copies, lease, storages, storage_ids, checks, checked_at)
     VALUES ($1, 'db2.example.com', 4711, '0.1.0', '{analytics,billing,orders}', '{1}', 4, 2, '1 day', '{nas,s3}',
             ARRAY[gen_random_uuid(), gen_random_uuid()], $2, now() - interval '4 min')`,
    [worker, JSON.stringify(checks)],
  );
  for (const [target, gigabytes, minutes] of [
    ["analytics", 212, 94],
    ["billing", 6.4, 4],
    ["orders", 41, 21],
  ] as const) {
    await owner.query(
      `INSERT INTO pgdumpd.schedules (target, schedule, due_at, seen_at)
       VALUES ($1, '30 3 * * * Europe/Berlin', now(), now() + interval '1 day')`,
      [target],
    );
    await history(owner, target, gigabytes * 1024 ** 3, minutes * 60, worker);
  }
  await failing(owner, worker);
  await running(owner, worker);
  await owner.query(
    `INSERT INTO pgdumpd.backup_jobs (target, created_at, run_at) VALUES
       ('analytics', now() - interval '12 min', now() - interval '12 min'),
       ('archive-2019', now() - interval '3 h', now() - interval '3 h')`,
  );
}

/** Thirty nights, each with a copy in a second storage; every one a little larger and longer than the one before. */
async function history(owner: pg.Pool, target: string, bytes: number, seconds: number, worker: string): Promise<void> {
  await owner.query(
    `WITH jobs AS (
       INSERT INTO pgdumpd.backup_jobs (target, spec, created_at, run_at, started_at, state, attempt, lease_token, worker_id,
           finished_at, phase, progress, size_bytes, sha256, rows_done, bytes_dumped, bytes_stored)
       SELECT $1, '{"label": "nightly"}', at, at, at + interval '2 s', 'succeeded', 1, gen_random_uuid(), $4,
              at + interval '2 s' + $3::float8 * (1 - i * 0.012 + (hashtext($1 || i::text) % 100) * 0.0012) * interval '1 s',
              'done', 100, ($2::float8 * (1 - i * 0.012 + (hashtext(i::text || $1) % 100) * 0.0003))::bigint, repeat('3c9f', 16),
              (48123000 - i * 91000)::bigint, 1, 1
       FROM generate_series(1, 30) AS i, LATERAL (SELECT now() - i * interval '1 day' - interval '10 h' AS at) AS t
       RETURNING id, target, requested_by, created_at, started_at, finished_at, lease_token, worker_id, size_bytes
     ), attempts AS (
       INSERT INTO pgdumpd.backup_attempts (lease_token, job_id, attempt, worker_id, started_at, ended_at, outcome)
       SELECT lease_token, id, 1, worker_id, started_at, finished_at, 'succeeded' FROM jobs
     )
     INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state, stored_at, last_proved_at)
     SELECT id, s.name, md5(s.name)::uuid, target || '/' || id || '.dump', size_bytes, 'stored', finished_at + s.later, finished_at + interval '3 h'
     FROM jobs CROSS JOIN (VALUES ('nas', interval '0'), ('s3', interval '8 min')) AS s (name, later)`,
    [target, bytes, seconds, worker],
  );
}

/** The newest backup of `billing` was given up after three attempts. */
async function failing(owner: pg.Pool, worker: string): Promise<void> {
  const id = randomUUID();
  const error = "cannot connect to db3.example.com:5432: connection refused";
  await owner.query(
    `INSERT INTO pgdumpd.backup_jobs (id, target, spec, created_at, run_at, started_at, state, attempt, lease_token, worker_id,
         finished_at, phase, progress, error_step, error_code, error, error_hint)
     VALUES ($1, 'billing', '{"label": "nightly"}', now() - interval '10 h', now() - interval '9 h 20 min', now() - interval '9 h 19 min', 'failed', 3,
         gen_random_uuid(), $2, now() - interval '9 h 18 min', 'preparing', 0, 'connect', 'connect_failed', $3,
         'Check that the server runs, and that this host may reach it.')`,
    [id, worker, error],
  );
  await owner.query(
    `INSERT INTO pgdumpd.backup_attempts (lease_token, job_id, attempt, worker_id, started_at, ended_at, outcome, error_step, error_code, error, requeued_for)
     SELECT gen_random_uuid(), $1, a.n, $2, now() - a.ago, now() - a.ago + interval '9 min', a.outcome, 'connect', 'connect_failed', $3, NULL
     FROM (VALUES (1, interval '9 h 58 min', 'failed'), (2, interval '9 h 44 min', 'lost'), (3, interval '9 h 27 min', 'failed')) AS a (n, ago, outcome)`,
    [id, worker, error],
  );
}

/** A backup of `orders` that is at its largest table. */
async function running(owner: pg.Pool, worker: string): Promise<void> {
  await owner.query(
    `WITH job AS (
       INSERT INTO pgdumpd.backup_jobs (target, created_at, started_at, state, attempt, lease_token, worker_id, lease_expires_at,
           phase, progress, current_table, tables_done, tables_total, rows_done, rows_expected, bytes_dumped, bytes_stored, estimated_end, progress_at)
       VALUES ('orders', now() - interval '8 min', now() - interval '8 min', 'running', 1, gen_random_uuid(), $1, now() + interval '1 day',
           'data', 38.4, 'public.order_lines', 118, 312, 19240113, 48123000, 16000000000, 15000000000, now() + interval '13 min', now())
       RETURNING id, lease_token, worker_id, started_at
     )
     INSERT INTO pgdumpd.backup_attempts (lease_token, job_id, attempt, worker_id, started_at, outcome)
     SELECT lease_token, id, 1, worker_id, started_at, 'running' FROM job`,
    [worker],
  );
}

-- Fills a migrated, empty queue for `script/bench queue`, in the server. psql's variables: ended, future, due (how many jobs),
-- backlog (how many of the due ones are of one target that no daemon serves), targets.
--
-- The ended jobs go back one a half minute; one in a hundred has failed, one in two hundred was cancelled, every tenth is a copy.
-- A tenth of everything is application's; few has a hundred jobs; the rest is the owner's. Every target is as large as the others, but
-- for `large`, which has a tenth of all ended jobs. Of each the newest hundred or so are still stored.
\set ON_ERROR_STOP on
SET synchronous_commit = off;
SET client_min_messages = warning;

INSERT INTO pgdumpd.workers (id, host, pid, version, targets, spec_versions, max_jobs, lease, storages, storage_ids, max_copies, target_settings, checks, checked_at)
SELECT gen_random_uuid(), 'host-' || w, w, 'bench', t.names, '{1}', 2, interval '1 day', '{local,offsite}',
       '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002}', 2, t.settings,
       '{"findings": [{"subject": "storage local", "severity": "ok", "what": "is fine"}]}', now()
FROM generate_series(1, 10) AS w,
     (SELECT array_agg('target-' || i) || '{large}' AS names,
             jsonb_object_agg('target-' || i, jsonb_build_object('database', 'd' || i, 'server', '7000000000000000000')) AS settings
      FROM generate_series(1, :targets) AS i) AS t;

-- Triggers and foreign keys are checked elsewhere; here they would only take time.
SET session_replication_role = replica;

INSERT INTO pgdumpd.backup_jobs (id, kind, copy_of, copy_to, target, priority, run_at, requested_by, created_at, state, attempt, lease_token,
    worker_id, started_at, finished_at, phase, progress, message, progress_at, size_bytes, sha256, error_step, error_code, error)
SELECT j.id, CASE WHEN j.is_copy THEN 'copy' ELSE 'backup' END,
       -- Of the job before it.
       CASE WHEN j.is_copy THEN md5('ended ' || (j.i - 1))::uuid END, CASE WHEN j.is_copy THEN 'offsite' END,
       CASE WHEN j.i % 10 = 5 THEN 'large' ELSE 'target-' || 1 + (j.i / 2) % :targets END,
       CASE WHEN j.is_copy THEN 6 ELSE 3 END, j.at,
       CASE WHEN j.i % (:ended / 100) = 7 THEN 'few' WHEN j.i % 100 IN (11, 22, 33, 44, 55, 66, 77, 88, 99, 1) THEN 'application' ELSE session_user END,
       j.at, j.state, 1, md5('token ' || j.i)::uuid, md5('worker ' || j.i % 10)::uuid, j.at + interval '1 second', j.at + interval '25 seconds',
       'done', CASE WHEN j.state = 'succeeded' THEN 100 ELSE 50 END, 'stored 12 tables, 3,456 rows', j.at + interval '20 seconds',
       CASE WHEN j.state = 'succeeded' THEN 4096 END, CASE WHEN j.state = 'succeeded' THEN repeat('ab', 32) END,
       CASE WHEN j.state = 'failed' THEN 'dump' END, CASE WHEN j.state = 'failed' THEN 'dump_failed' END,
       CASE WHEN j.state = 'failed' THEN 'pg_dump ended with status 1' END
FROM (
    SELECT i, md5('ended ' || i)::uuid AS id, now() - (:ended - i) * interval '30 seconds' - interval '1 minute' AS at, i % 10 = 0 AS is_copy,
           CASE WHEN i % 100 = 3 THEN 'failed' WHEN i % 200 = 17 THEN 'cancelled' ELSE 'succeeded' END AS state
    FROM generate_series(1, :ended) AS i
) AS j;

INSERT INTO pgdumpd.backup_jobs (target, run_at, requested_by, created_at)
SELECT 'target-' || 1 + i % :targets, now() + i * interval '1 minute', CASE WHEN i % 10 = 0 THEN 'application' ELSE session_user END,
       now() - (:future - i) * interval '10 milliseconds'
FROM generate_series(1, :future) AS i;

INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to, target, priority, run_at, requested_by, created_at)
SELECT CASE WHEN is_copy THEN 'copy' ELSE 'backup' END, CASE WHEN is_copy THEN md5('ended ' || i + 1)::uuid END, CASE WHEN is_copy THEN 'offsite' END,
       CASE WHEN i <= :backlog THEN 'backlog' ELSE 'target-' || 1 + i % :targets END,
       CASE WHEN is_copy THEN 6 WHEN i <= :backlog THEN 3 ELSE 1 + i % 5 END, now() - interval '1 minute',
       CASE WHEN i % 10 = 0 THEN 'application' ELSE session_user END, now() - (:due - i) * interval '10 milliseconds'
FROM (SELECT i, i > :backlog AND i % 100 = 1 AS is_copy FROM generate_series(1, :due) AS i) AS j;

-- Some run.
UPDATE pgdumpd.backup_jobs AS j
SET state = 'running', attempt = 1, lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 day', started_at = now(),
    worker_id = (SELECT id FROM pgdumpd.workers LIMIT 1)
FROM (SELECT DISTINCT ON (target) id FROM pgdumpd.backup_jobs
      WHERE state = 'queued' AND kind = 'backup' AND run_at < now() AND target IN ('target-1', 'target-2', 'target-3', 'target-4')
      ORDER BY target, created_at) AS first
WHERE j.id = first.id;

INSERT INTO pgdumpd.backup_attempts (lease_token, job_id, attempt, worker_id, started_at, ended_at, outcome, error_step, error_code, error,
    storage, storage_id, object_key, cleared_at, database_name, system_identifier)
SELECT j.lease_token, j.id, 1, j.worker_id, j.started_at, j.finished_at, coalesce(nullif(j.state, 'running'), 'running'), j.error_step, j.error_code, j.error,
       k.storage, k.storage_id, k.object_key, CASE WHEN j.state IN ('failed', 'cancelled') AND k.storage IS NOT NULL THEN j.finished_at END, 'app', '7000000000000000000'
FROM pgdumpd.backup_jobs AS j
-- Half of what failed never came to its dump.
LEFT JOIN LATERAL (
    SELECT 'local' AS storage, '00000000-0000-0000-0000-000000000001'::uuid AS storage_id,
           (SELECT id FROM pgdumpd.queue) || '/' || j.target || '/2026/01/' || j.id || '/' || j.lease_token || '.dump' AS object_key
    WHERE j.state <> 'failed' OR j.id < '80000000-0000-0000-0000-000000000000'
) AS k ON true
WHERE j.state NOT IN ('queued');

-- cancel_backup leaves a row for each job that it ended while it was queued, and those stay.
INSERT INTO pgdumpd.backup_cancels (job_id, requested_at)
SELECT j.id, j.finished_at FROM pgdumpd.backup_jobs AS j WHERE j.state = 'cancelled';
-- As the trigger would have left them; the schema of an older build has no such column.
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'pgdumpd.backup_cancels'::regclass AND attname = 'is_open') AS closes \gset
\if :closes
UPDATE pgdumpd.backup_cancels SET is_open = false;
\endif

INSERT INTO pgdumpd.schedules (target, schedule, due_at, job_id)
SELECT DISTINCT ON (j.target) j.target, '30 3 * * * Europe/Berlin', j.created_at, j.id
FROM pgdumpd.backup_jobs AS j WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.created_at > now() - interval '2 days'
ORDER BY j.target, j.created_at DESC;

-- From here on with triggers: they keep columns of these tables.
SET session_replication_role = origin;

INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state, stored_at, deleted_at, claimed_at)
SELECT a.job_id, a.storage, a.storage_id, a.object_key, 4096, CASE WHEN j.gone THEN 'deleted' ELSE 'stored' END, a.ended_at,
       CASE WHEN j.gone THEN a.ended_at + interval '60 days' END, a.started_at
FROM pgdumpd.backup_attempts AS a
JOIN (SELECT id, created_at < now() - interval '30 seconds' * (:ended / 5) AS gone FROM pgdumpd.backup_jobs
      WHERE state = 'succeeded' AND kind = 'backup') AS j ON j.id = a.job_id;

INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state, stored_at, claimed_at)
SELECT j.copy_of, 'offsite', '00000000-0000-0000-0000-000000000002', c.object_key || '.copy', 4096, 'stored', j.finished_at, c.claimed_at
FROM pgdumpd.backup_jobs AS j JOIN pgdumpd.backup_copies AS c ON c.job_id = j.copy_of
WHERE j.kind = 'copy' AND j.state = 'succeeded' AND j.created_at >= now() - interval '30 seconds' * (:ended / 5)
ON CONFLICT DO NOTHING;

VACUUM (ANALYZE) pgdumpd.backup_jobs, pgdumpd.backup_attempts, pgdumpd.backup_copies, pgdumpd.backup_cancels, pgdumpd.workers, pgdumpd.schedules;

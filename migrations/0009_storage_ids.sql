-- Storages are found by their id: a name is what one configuration calls it, and may mean another storage tomorrow.

ALTER TABLE pgdumpd.workers
    -- The id of each of `storages`, in their order; NULL where the daemon has not seen it yet. Shorter, or empty, where a
    -- daemon of before this migration wrote the row.
    ADD COLUMN storage_ids uuid[] NOT NULL DEFAULT '{}';

CREATE OR REPLACE VIEW pgdumpd.backup_status WITH (security_barrier) AS
SELECT
    j.id,
    j.target,
    j.spec ->> 'label' AS label,
    CASE j.state
        WHEN 'queued' THEN 'in_progress'
        WHEN 'running' THEN 'in_progress'
        WHEN 'succeeded' THEN 'completed'
        ELSE j.state
    END AS status,
    j.state,
    j.attempt,
    j.max_attempts,
    j.rescues,
    j.priority,
    j.phase,
    j.progress,
    j.message,
    j.current_table,
    j.tables_done,
    j.tables_total,
    j.rows_done,
    j.bytes_dumped,
    j.bytes_stored,
    j.estimated_end,
    CASE WHEN j.state = 'queued' AND j.run_at <= clock_timestamp() THEN (
        SELECT count(*) + 1
        FROM pgdumpd.backup_jobs AS ahead
        WHERE ahead.state = 'queued' AND ahead.target = j.target AND ahead.run_at <= clock_timestamp()
          AND ahead.kind = j.kind AND ahead.copy_to IS NOT DISTINCT FROM j.copy_to
          AND (ahead.priority, ahead.run_at, ahead.id) < (j.priority, j.run_at, j.id)
    ) END AS queue_position,
    CASE WHEN j.state = 'queued' THEN
        CASE
            -- What keeps a copy waiting are storages, never its target: the database is not needed for it.
            WHEN j.kind = 'copy' AND NOT EXISTS (
                    SELECT FROM pgdumpd.workers AS w
                    WHERE j.copy_to = ANY (w.storages) AND w.max_copies > 0 AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon makes copies to storage "' || j.copy_to || '"'
            WHEN j.kind = 'copy'
                AND EXISTS (SELECT FROM pgdumpd.backup_copies AS b WHERE b.job_id = j.copy_of AND b.state = 'stored')
                AND NOT EXISTS (
                    SELECT FROM pgdumpd.backup_copies AS b
                    JOIN pgdumpd.workers AS w ON EXISTS (
                        -- By the id; the name is all there is to go by where a daemon has not seen it yet.
                        SELECT FROM unnest(w.storages, w.storage_ids) AS s (name, id)
                        WHERE coalesce(s.id = b.storage_id, s.name = b.storage))
                    WHERE b.job_id = j.copy_of AND b.state = 'stored'
                      AND j.copy_to = ANY (w.storages) AND w.max_copies > 0 AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon that makes copies to storage "' || j.copy_to || '" has a storage that holds the backup'
            WHEN j.kind = 'backup' AND NOT EXISTS (SELECT FROM pgdumpd.workers AS w
                             WHERE j.target = ANY (w.targets) AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon serves target "' || j.target || '"'
            WHEN j.kind = 'backup' AND NOT EXISTS (SELECT FROM pgdumpd.workers AS w
                             WHERE j.target = ANY (w.targets) AND j.spec_version = ANY (w.spec_versions)
                               AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon of this target understands spec version ' || j.spec_version::text
            WHEN j.run_at > clock_timestamp() AND j.attempt > 0
                THEN 'attempt ' || (j.attempt + 1)::text || ' of ' || j.max_attempts::text || ' is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            WHEN j.run_at > clock_timestamp()
                THEN 'is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            -- Asked of all targets at once, which is hashed: of each row by itself it would cost as much again.
            WHEN j.kind = 'backup' AND j.target IN (SELECT d.target FROM pgdumpd.target_differences AS d)
                THEN (
                    SELECT 'daemons differ about target "' || j.target || '": '
                        || string_agg(DISTINCT format('%s (pid %s) and %s (pid %s) in %s',
                                                      d.host, d.pid, d.other_host, d.other_pid,
                                                      array_to_string(d.settings, ', ')), '; ')
                    FROM pgdumpd.target_differences AS d
                    WHERE d.target = j.target
                )
            WHEN j.kind = 'backup' AND EXISTS (SELECT FROM pgdumpd.backup_jobs AS r
                             WHERE r.state = 'running' AND r.kind = 'backup' AND r.target = j.target)
                THEN 'another backup of target "' || j.target || '" is running'
            ELSE 'waits for a free daemon'
        END
    END AS waits_because,
    -- Of a running job so far, of an ended one in all.
    extract(epoch FROM coalesce(j.finished_at, clock_timestamp()) - j.started_at)::double precision AS elapsed_seconds,
    CASE WHEN j.started_at IS NOT NULL THEN
        CASE WHEN coalesce(j.finished_at, clock_timestamp()) - j.started_at >= interval '1 hour'
             THEN floor(extract(epoch FROM coalesce(j.finished_at, clock_timestamp()) - j.started_at) / 3600)::text || to_char(coalesce(j.finished_at, clock_timestamp()) - j.started_at, ':MI:SS')
             ELSE to_char(coalesce(j.finished_at, clock_timestamp()) - j.started_at, 'FMMI:SS')
        END
    END AS elapsed,
    greatest(j.created_at, j.started_at, j.progress_at, j.finished_at) AS last_update,
    c.requested_at AS cancel_requested_at,
    copies.stored AS copies_stored,
    copies.total AS copies_total,
    copies.stored::text || ' of ' || copies.total::text AS copies,
    j.warnings,
    j.warnings_total,
    j.error_step,
    j.error_code,
    j.error,
    j.error_hint,
    j.size_bytes,
    j.sha256,
    j.requested_by,
    j.idempotency_key,
    j.created_at,
    j.run_at,
    j.started_at,
    j.finished_at,
    j.kind,
    j.copy_of,
    j.copy_to
FROM pgdumpd.backup_jobs AS j
LEFT JOIN pgdumpd.backup_cancels AS c ON c.job_id = j.id
CROSS JOIN LATERAL (
    -- Of the backup, also where the row is one of its copies'. What is still to come counts, and what failed: it
    -- was wanted. What was cancelled does not.
    SELECT held.stored, greatest(held.known + still.expected, 1) AS total
    FROM (
        SELECT count(*) FILTER (WHERE b.state = 'stored') AS stored, count(*) AS known
        FROM pgdumpd.backup_copies AS b
        WHERE b.job_id = coalesce(j.copy_of, j.id)
    ) AS held
    CROSS JOIN (
        SELECT count(DISTINCT k.copy_to) AS expected
        FROM pgdumpd.backup_jobs AS k
        WHERE k.copy_of = coalesce(j.copy_of, j.id) AND k.state IN ('queued', 'running', 'failed')
          AND NOT EXISTS (SELECT FROM pgdumpd.backup_copies AS b WHERE b.job_id = k.copy_of AND b.storage = k.copy_to)
    ) AS still
) AS copies
WHERE j.requested_by = session_user OR (SELECT pgdumpd.sees_all_jobs());

CREATE OR REPLACE VIEW pgdumpd.backup_monitoring WITH (security_barrier) AS
SELECT
    s.id,
    s.target,
    s.state,
    s.phase,
    s.progress,
    s.queue_position,
    s.waits_because,
    s.requested_by,
    coalesce(s.started_at, greatest(s.created_at, s.run_at)) AS since,
    s.last_update,
    w.id AS worker_id,
    w.host AS worker_host,
    w.pid AS worker_pid,
    w.last_seen_at AS worker_last_seen_at,
    j.lease_expires_at,
    -- True where no living daemon serves the target of a queued backup; of a copy, the storage that it is to go to, or one
    -- that holds the backup.
    s.state = 'queued' AND NOT EXISTS (
        SELECT FROM pgdumpd.workers AS l
        WHERE l.last_seen_at > clock_timestamp() - l.lease
          AND CASE s.kind
              WHEN 'copy' THEN s.copy_to = ANY (l.storages) AND l.max_copies > 0
                  AND coalesce((SELECT bool_or(EXISTS (
                                    SELECT FROM unnest(l.storages, l.storage_ids) AS o (name, id)
                                    WHERE coalesce(o.id = b.storage_id, o.name = b.storage)))
                                FROM pgdumpd.backup_copies AS b
                                WHERE b.job_id = s.copy_of AND b.state = 'stored'), true)
              ELSE s.target = ANY (l.targets)
          END
    ) AS unserved,
    s.kind,
    s.copy_of,
    s.copy_to,
    s.copies
FROM pgdumpd.backup_status AS s
JOIN pgdumpd.backup_jobs AS j ON j.id = s.id
LEFT JOIN pgdumpd.workers AS w ON w.id = j.worker_id
WHERE j.finished_at IS NULL;

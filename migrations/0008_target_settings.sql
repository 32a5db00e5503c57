-- What a target means is in each daemon's own configuration. Daemons show one another what it is to them, so that two
-- that mean different databases, storages, keys or rules by one name are found before they take a backup of it.

ALTER TABLE pgdumpd.workers
    -- An object with a member for each target: an object of settings. What a daemon does not know yet (a storage that it
    -- has not opened, a server that it has not reached) is left out, and not compared. A daemon that knows nothing of this
    -- writes none.
    ADD COLUMN target_settings jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT workers_target_settings_is_an_object CHECK (jsonb_typeof(target_settings) = 'object');

ALTER TABLE pgdumpd.backup_attempts
    -- Which database the attempt dumped, as its manifest says it: a target whose address changes is a target whose
    -- backups are of another database. NULL of attempts that did not connect, and of those before this migration.
    ADD COLUMN database_name     text,
    -- A number that may be too large for a bigint. NULL also where the role may not read it.
    ADD COLUMN system_identifier text;

-- The newest backup of a target.
CREATE INDEX backup_jobs_succeeded ON pgdumpd.backup_jobs (target, finished_at) WHERE state = 'succeeded' AND kind = 'backup';

-- Each two daemons that are alive and will claim, and each target of both about which they differ.
CREATE VIEW pgdumpd.target_differences WITH (security_barrier) AS
SELECT
    mine.target,
    array_agg(a.setting ORDER BY a.setting) AS settings,
    w.id AS worker_id,
    w.host,
    w.pid,
    o.id AS other_id,
    o.host AS other_host,
    o.pid AS other_pid
FROM pgdumpd.workers AS w
-- Each two once.
JOIN pgdumpd.workers AS o ON o.id > w.id AND o.target_settings <> w.target_settings
CROSS JOIN LATERAL (
    -- Each daemon's settings are unfolded once and hashed: there may be a thousand targets. OFFSET keeps it so.
    SELECT own.target, own.settings, theirs.settings AS other_settings
    FROM jsonb_each(w.target_settings) AS own (target, settings)
    JOIN jsonb_each(o.target_settings) AS theirs (target, settings)
        ON theirs.target = own.target AND theirs.settings <> own.settings
    OFFSET 0
) AS mine
CROSS JOIN LATERAL jsonb_each(mine.settings) AS a (setting, value)
-- What only one of them knows is no difference.
JOIN LATERAL jsonb_each(mine.other_settings) AS b (setting, value) ON b.setting = a.setting AND b.value <> a.value
WHERE w.last_seen_at > clock_timestamp() - w.lease AND NOT w.stopping
  AND o.last_seen_at > clock_timestamp() - o.lease AND NOT o.stopping
GROUP BY mine.target, w.id, o.id;

-- For those who may see all jobs. Whoever reads the daemons' table already may.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT r.rolname
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.oid = 'pgdumpd.workers'::regclass AND a.grantee <> c.relowner AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON pgdumpd.target_differences TO %I', held.rolname);
    END LOOP;
END
$$;

-- The same as in migration 6, and what waits because daemons differ.
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
                    JOIN pgdumpd.workers AS w ON b.storage = ANY (w.storages)
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

-- What an application reads. A view shows the rows of the session's user; to whoever may SELECT the
-- table of jobs (reader, operator, daemon) it shows all.

CREATE VIEW pgdumpd.backup_status WITH (security_barrier) AS
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
          AND (ahead.priority, ahead.run_at, ahead.id) < (j.priority, j.run_at, j.id)
    ) END AS queue_position,
    CASE WHEN j.state = 'queued' THEN
        CASE
            WHEN NOT EXISTS (SELECT FROM pgdumpd.workers AS w
                             WHERE j.target = ANY (w.targets) AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon serves target "' || j.target || '"'
            WHEN NOT EXISTS (SELECT FROM pgdumpd.workers AS w
                             WHERE j.target = ANY (w.targets) AND j.spec_version = ANY (w.spec_versions)
                               AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon of this target understands spec version ' || j.spec_version::text
            WHEN j.run_at > clock_timestamp() AND j.attempt > 0
                THEN 'attempt ' || (j.attempt + 1)::text || ' of ' || j.max_attempts::text || ' is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            WHEN j.run_at > clock_timestamp()
                THEN 'is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            WHEN EXISTS (SELECT FROM pgdumpd.backup_jobs AS r WHERE r.state = 'running' AND r.target = j.target)
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
    j.finished_at
FROM pgdumpd.backup_jobs AS j
LEFT JOIN pgdumpd.backup_cancels AS c ON c.job_id = j.id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE b.state = 'stored') AS stored, greatest(count(*), 1) AS total
    FROM pgdumpd.backup_copies AS b
    WHERE b.job_id = j.id
) AS copies
WHERE j.requested_by = session_user OR (SELECT pgdumpd.sees_all_jobs());
COMMENT ON VIEW pgdumpd.backup_status IS 'Every backup job that the session''s user may see, in the words of an application.';

CREATE VIEW pgdumpd.backup_monitoring WITH (security_barrier) AS
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
    -- True where no living daemon serves the target of a queued job.
    s.state = 'queued' AND NOT EXISTS (
        SELECT FROM pgdumpd.workers AS l
        WHERE s.target = ANY (l.targets) AND l.last_seen_at > clock_timestamp() - l.lease
    ) AS unserved
FROM pgdumpd.backup_status AS s
JOIN pgdumpd.backup_jobs AS j ON j.id = s.id
LEFT JOIN pgdumpd.workers AS w ON w.id = j.worker_id
WHERE j.finished_at IS NULL;
COMMENT ON VIEW pgdumpd.backup_monitoring IS 'The jobs that are queued or running, and where.';

CREATE VIEW pgdumpd.daemon_status WITH (security_barrier) AS
SELECT
    w.id,
    w.host,
    w.pid,
    w.version,
    -- The names of targets and what is wrong with them are not every producer's business.
    CASE WHEN (SELECT pgdumpd.sees_all_jobs()) THEN w.targets END AS targets,
    w.max_jobs,
    w.started_at,
    w.last_seen_at,
    CASE
        WHEN w.last_seen_at <= clock_timestamp() - w.lease THEN 'gone'
        WHEN w.stopping THEN 'stopping'
        ELSE 'alive'
    END AS state,
    (SELECT count(*) FROM pgdumpd.backup_jobs AS j WHERE j.state = 'running' AND j.worker_id = w.id) AS running_jobs,
    CASE WHEN (SELECT pgdumpd.sees_all_jobs()) THEN w.checks END AS checks,
    w.checked_at
FROM pgdumpd.workers AS w;
COMMENT ON VIEW pgdumpd.daemon_status IS 'The daemons and when each was last seen; to whoever sees all jobs also their targets and what their own checks found.';

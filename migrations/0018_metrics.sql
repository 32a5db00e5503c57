-- What monitoring asks of the queue at each scrape: few rows, each found by an index, for the roles that see all jobs.

-- The newest failure of each target, and the newest verification of any of its stored backups.
CREATE INDEX backup_jobs_failed ON pgdumpd.backup_jobs (target, finished_at) WHERE state = 'failed' AND kind = 'backup';
CREATE INDEX backup_copies_proved ON pgdumpd.backup_copies (target, last_proved_at) WHERE state = 'stored' AND last_proved_at > stored_at;

-- A target that nobody serves and that never had a backup is only a name that somebody has asked for: it has no row, so that a
-- producer makes no series of metrics.
CREATE VIEW pgdumpd.target_metrics WITH (security_barrier) AS
WITH waiting AS (
    SELECT j.target, count(*) FILTER (WHERE j.state = 'queued') AS queued, count(*) FILTER (WHERE j.state = 'running') AS running
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state IN ('queued', 'running') AND j.kind = 'backup'
    GROUP BY j.target
)
SELECT
    t.target,
    t.daemons,
    good.finished_at AS last_success_at,
    good.size_bytes AS last_size_bytes,
    extract(epoch FROM good.finished_at - good.started_at)::double precision AS last_seconds,
    bad.finished_at AS last_failure_at,
    proved.last_proved_at,
    coalesce(w.queued, 0) AS queued_jobs,
    coalesce(w.running, 0) AS running_jobs
FROM (
    SELECT coalesce(s.target, d.target) AS target, coalesce(d.daemons, 0) AS daemons
    FROM pgdumpd.target_status AS s
    FULL JOIN pgdumpd.served_targets AS d ON d.target = s.target
) AS t
LEFT JOIN waiting AS w ON w.target = t.target
LEFT JOIN LATERAL (
    SELECT j.started_at, j.finished_at, j.size_bytes
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.target = t.target
    ORDER BY j.finished_at DESC
    LIMIT 1
) AS good ON true
LEFT JOIN LATERAL (
    SELECT j.finished_at
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'failed' AND j.kind = 'backup' AND j.target = t.target
    ORDER BY j.finished_at DESC
    LIMIT 1
) AS bad ON true
LEFT JOIN LATERAL (
    SELECT c.last_proved_at
    FROM pgdumpd.backup_copies AS c
    WHERE c.state = 'stored' AND c.last_proved_at > c.stored_at AND c.target = t.target
    ORDER BY c.last_proved_at DESC
    LIMIT 1
) AS proved ON true;
COMMENT ON VIEW pgdumpd.target_metrics IS 'For monitoring: each target that is served or has a backup, with its last ends.';

CREATE VIEW pgdumpd.job_metrics WITH (security_barrier) AS
SELECT k.kind, s.state, count(j.id) AS jobs, min(j.run_at) FILTER (WHERE j.run_at <= statement_timestamp()) AS oldest_due_at
FROM (VALUES ('backup'), ('copy')) AS k (kind)
CROSS JOIN (VALUES ('queued'), ('running')) AS s (state)
LEFT JOIN pgdumpd.backup_jobs AS j ON j.kind = k.kind AND j.state = s.state AND j.state IN ('queued', 'running')
GROUP BY k.kind, s.state;
COMMENT ON VIEW pgdumpd.job_metrics IS 'For monitoring: how many jobs are queued and running, and since when the oldest of them is due.';

CREATE VIEW pgdumpd.storage_metrics WITH (security_barrier) AS
SELECT c.storage, count(*) AS backups, sum(c.size_bytes)::bigint AS stored_bytes, max(c.stored_at) AS last_stored_at
FROM pgdumpd.backup_copies AS c
WHERE c.state = 'stored'
GROUP BY c.storage;
COMMENT ON VIEW pgdumpd.storage_metrics IS 'For monitoring: what each storage holds, by the names that daemons call them.';

-- Whoever reads the daemons' table sees all jobs, and so these.
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
        EXECUTE format('GRANT SELECT ON pgdumpd.target_metrics, pgdumpd.job_metrics, pgdumpd.storage_metrics TO %I', held.rolname);
    END LOOP;
END
$$;

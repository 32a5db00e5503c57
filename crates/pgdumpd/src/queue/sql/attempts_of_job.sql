-- A job's attempts, the oldest first. $1 the job, $2 the most rows: of more, the newest.
SELECT * FROM (
    SELECT
        a.attempt,
        a.started_at,
        a.ended_at,
        a.outcome,
        a.error_step,
        a.error_code,
        a.error,
        a.requeued_for,
        w.host
    FROM pgdumpd.backup_attempts AS a
    LEFT JOIN pgdumpd.workers AS w ON w.id = a.worker_id
    WHERE a.job_id = $1
    ORDER BY a.started_at DESC, a.lease_token
    LIMIT $2::bigint
) AS newest
ORDER BY started_at

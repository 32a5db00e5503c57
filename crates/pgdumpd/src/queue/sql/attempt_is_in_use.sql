-- Whether an attempt still runs, or its job may adopt what it stored. $1 lease token, $2 the queue's id.
SELECT
    -- The address may lead to another queue by now, which knows nothing of this one's attempts.
    NOT EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $2)
    OR EXISTS (
        SELECT FROM pgdumpd.backup_attempts AS a
        -- A job that row security hides from this role must pass for one that has not ended.
        LEFT JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
        WHERE a.lease_token = $1 AND (a.outcome = 'running' OR j.finished_at IS NULL)
    ) AS in_use

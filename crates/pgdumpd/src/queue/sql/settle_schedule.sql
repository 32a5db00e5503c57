-- Settles a due time of a schedule: enqueues a backup, unless the target's last scheduled one has not ended. No row:
-- another daemon has settled it, or by the database's clock it is not due.
-- $1 target, $2 schedule, $3 the due time.
WITH due AS MATERIALIZED (
    SELECT s.target, s.schedule,
           (SELECT j.id
            FROM pgdumpd.schedules AS o
            JOIN pgdumpd.backup_jobs AS j ON j.id = o.job_id
            WHERE o.target = s.target AND j.finished_at IS NULL
            LIMIT 1) AS unfinished
    FROM pgdumpd.schedules AS s
    -- Whoever waited for the lock looks at due_at again, as the winner has left it.
    WHERE s.target = $1 AND s.schedule = $2 AND s.due_at < $3 AND $3 <= clock_timestamp()
    FOR NO KEY UPDATE OF s
), job AS (
    INSERT INTO pgdumpd.backup_jobs (target, spec)
    SELECT d.target, '{"label": "scheduled"}' FROM due AS d WHERE d.unfinished IS NULL
    RETURNING id
), settled AS (
    UPDATE pgdumpd.schedules AS s
    SET due_at = $3, job_id = coalesce((SELECT id FROM job), s.job_id)
    FROM due AS d
    WHERE s.target = d.target AND s.schedule = d.schedule
)
SELECT (SELECT id FROM job) AS job_id, d.unfinished FROM due AS d

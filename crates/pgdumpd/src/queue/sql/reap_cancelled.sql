-- Ends queued jobs whose cancellation was asked for while they ran or were being claimed. Of the requests only those that
-- nobody has obeyed yet are read: the others stay for as long as their jobs' rows.
WITH asked AS MATERIALIZED (
    SELECT q.id
    FROM pgdumpd.backup_cancels AS c
    JOIN pgdumpd.backup_jobs AS q ON q.id = c.job_id
    WHERE c.is_open AND q.state = 'queued'
    FOR NO KEY UPDATE OF q SKIP LOCKED
), ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = 'cancelled', finished_at = clock_timestamp(), message = NULL,
        error_step = NULL, error_code = NULL, error = NULL, error_hint = NULL
    FROM asked AS a
    WHERE j.id = a.id AND j.state = 'queued'
    RETURNING j.id
)
SELECT count(*) AS jobs FROM ended

-- Ends an attempt that failed: the job is cancelled where that was asked for, queued again where that can
-- help, else failed. No row means that the lease is lost.
-- $1 job, $2 lease token, $3 transient, $4 step, $5 code, $6 error, $7 hint, $8 warnings, $9 warnings in all.
WITH verdict AS MATERIALIZED (
    SELECT j.id,
           CASE
               WHEN EXISTS (SELECT FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id) THEN 'cancelled'
               WHEN $3 AND j.attempt < j.max_attempts THEN 'queued'
               ELSE 'failed'
           END AS state,
           -- 10 s, 20 s, 40 s, ... up to an hour, give or take a half, so that jobs that failed together do
           -- not come back together. The exponent is bounded against overflow.
           clock_timestamp() + least(interval '1 hour', interval '10 seconds' * power(2, least(j.attempt - 1, 20)))
               * (0.5 + random() / 2) AS due
    FROM pgdumpd.backup_jobs AS j
    WHERE j.id = $1 AND j.lease_token = $2 AND j.finished_at IS NULL
    FOR NO KEY UPDATE
), ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = v.state,
        run_at = CASE WHEN v.state = 'queued' THEN v.due ELSE j.run_at END,
        finished_at = CASE WHEN v.state <> 'queued' THEN clock_timestamp() END,
        lease_expires_at = NULL,
        lease_token = CASE WHEN v.state <> 'queued' THEN j.lease_token END,
        worker_id = CASE WHEN v.state <> 'queued' THEN j.worker_id END,
        started_at = CASE WHEN v.state <> 'queued' THEN j.started_at END,
        estimated_end = NULL, current_table = NULL,
        message = CASE v.state WHEN 'failed' THEN left($6, 1000) WHEN 'cancelled' THEN 'cancelled' END,
        error_step = CASE WHEN v.state <> 'cancelled' THEN $4 END,
        error_code = CASE WHEN v.state <> 'cancelled' THEN $5 END,
        error = CASE WHEN v.state <> 'cancelled' THEN $6 END,
        error_hint = CASE WHEN v.state <> 'cancelled' THEN $7 END,
        warnings = $8, warnings_total = $9
    FROM verdict AS v
    WHERE j.id = v.id
    RETURNING j.state, CASE WHEN j.state = 'queued' THEN j.run_at END AS requeued_for
), attempt AS (
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = 'failed', ended_at = clock_timestamp(), error_step = $4, error_code = $5, error = $6,
        requeued_for = e.requeued_for
    FROM ended AS e
    WHERE a.lease_token = $2
)
SELECT e.state, e.requeued_for FROM ended AS e

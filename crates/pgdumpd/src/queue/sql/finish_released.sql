-- Gives an attempt back uncounted, because its daemon stops: the job is due again at once, or cancelled where
-- that was asked for. No row means that the lease is lost.
-- $1 job, or NULL where only the token is known; $2 lease token.
WITH verdict AS MATERIALIZED (
    SELECT j.id, EXISTS (SELECT FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id) AS cancel
    FROM pgdumpd.backup_attempts AS a
    JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
    WHERE a.lease_token = $2 AND (a.job_id = $1) IS NOT FALSE
      AND j.lease_token = $2 AND j.finished_at IS NULL
    FOR NO KEY UPDATE OF j
), ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = CASE WHEN v.cancel THEN 'cancelled' ELSE 'queued' END,
        finished_at = CASE WHEN v.cancel THEN clock_timestamp() END,
        lease_expires_at = NULL,
        lease_token = CASE WHEN v.cancel THEN j.lease_token END,
        worker_id = CASE WHEN v.cancel THEN j.worker_id END,
        started_at = CASE WHEN v.cancel THEN j.started_at END,
        -- A rescue is never given back, so attempt stays at least rescues.
        attempt = CASE WHEN v.cancel THEN j.attempt ELSE j.attempt - 1 END,
        phase = CASE WHEN v.cancel THEN j.phase END,
        progress = CASE WHEN v.cancel THEN j.progress ELSE 0 END,
        message = CASE WHEN v.cancel THEN 'cancelled' END,
        current_table = NULL, estimated_end = NULL
    FROM verdict AS v
    WHERE j.id = v.id
    -- run_at stays: the job keeps its place in the queue.
    RETURNING j.state, CASE WHEN j.state = 'queued' THEN j.run_at END AS requeued_for
), attempt AS (
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = CASE WHEN e.state = 'cancelled' THEN 'cancelled' ELSE 'released' END,
        ended_at = clock_timestamp(), requeued_for = e.requeued_for
    FROM ended AS e
    WHERE a.lease_token = $2
)
SELECT e.state, e.requeued_for FROM ended AS e

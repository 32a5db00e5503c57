-- Takes jobs back whose daemons fell silent: each counts as a rescue, so that a job that kills its daemon ends.
-- $1 rescues allowed, $2 the queue's id.
WITH expired AS MATERIALIZED (
    SELECT j.id, j.lease_token,
           CASE
               WHEN EXISTS (SELECT FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id) THEN 'cancelled'
               WHEN j.rescues >= $1 OR j.attempt >= j.max_attempts THEN 'failed'
               ELSE 'queued'
           END AS state
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'running' AND j.lease_expires_at < clock_timestamp()
      -- The address may lead to another queue by now, whose leases are not this daemon's to judge.
      AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $2)
    -- No leader: every daemon reaps, and skips what another is writing. Locking checks the conditions again on
    -- the newest version of the row, so a heartbeat that came first wins.
    FOR NO KEY UPDATE SKIP LOCKED
), ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = e.state,
        rescues = j.rescues + 1,
        finished_at = CASE WHEN e.state <> 'queued' THEN clock_timestamp() END,
        lease_expires_at = NULL,
        lease_token = CASE WHEN e.state <> 'queued' THEN j.lease_token END,
        worker_id = CASE WHEN e.state <> 'queued' THEN j.worker_id END,
        started_at = CASE WHEN e.state <> 'queued' THEN j.started_at END,
        current_table = NULL, estimated_end = NULL,
        message = CASE e.state
                      WHEN 'failed' THEN format('the daemon that ran attempt %s of %s fell silent', j.attempt, j.max_attempts)
                      WHEN 'cancelled' THEN 'cancelled'
                  END,
        error_step = CASE WHEN e.state <> 'cancelled' THEN 'lease' END,
        error_code = CASE WHEN e.state <> 'cancelled' THEN 'daemon_died' END,
        error = CASE WHEN e.state <> 'cancelled'
                     THEN format('the daemon that ran attempt %s of %s fell silent', j.attempt, j.max_attempts) END,
        error_hint = CASE WHEN e.state = 'failed'
                          THEN 'Look into the log of the daemon (worker_id) for its end: out of memory, killed, or cut off from the queue. Then enqueue the backup again.' END
    FROM expired AS e
    WHERE j.id = e.id AND j.lease_token = e.lease_token AND j.finished_at IS NULL
    RETURNING j.id, e.lease_token, CASE WHEN j.state = 'queued' THEN j.run_at END AS requeued_for
), attempt AS (
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = 'lost', ended_at = clock_timestamp(), error_step = 'lease', error_code = 'daemon_died',
        error = 'the daemon fell silent', requeued_for = e.requeued_for
    FROM ended AS e
    WHERE a.lease_token = e.lease_token
)
SELECT count(*) AS jobs FROM ended

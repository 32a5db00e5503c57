-- What an earlier finish with this token did, for a daemon whose answer was lost. No row: the lease was lost.
-- $1 job, $2 lease token.
SELECT j.state, a.requeued_for
FROM pgdumpd.backup_attempts AS a
JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
WHERE a.lease_token = $2 AND a.job_id = $1
  -- The attempt was ended by its own daemon, not taken from it.
  AND a.outcome IN ('succeeded', 'failed', 'cancelled', 'released')
  -- It ended the job (the row keeps the last token), or put it back into the queue.
  AND ((j.lease_token = $2 AND j.finished_at IS NOT NULL) OR a.requeued_for IS NOT NULL)

-- Ends attempts that were left running: their jobs do not run under their leases. A daemon's statement changes both rows at
-- once; whoever changes a job's row by hand may leave one, and its object would be in use for ever.
-- $1 the queue's id.
UPDATE pgdumpd.backup_attempts AS a
SET outcome = 'lost', ended_at = clock_timestamp(), error_step = 'lease', error_code = 'daemon_died',
    error = 'the job was taken from this attempt while it ran'
FROM pgdumpd.backup_jobs AS j
WHERE a.outcome = 'running' AND j.id = a.job_id AND (j.state <> 'running' OR j.lease_token <> a.lease_token)
  -- The address may lead to another queue by now, whose attempts are not this daemon's to judge.
  AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $1)
RETURNING a.lease_token, a.job_id

-- Ends the attempts of the jobs that `pgdumpd adopt` has ended: reset_identity.sql sees a job that was claimed while it waited for it, but
-- not yet that claim's attempt, which is younger than its snapshot. And those that were left running before, of jobs that were changed by
-- hand: what they left is the original's, too.
UPDATE pgdumpd.backup_attempts AS a
SET outcome = 'lost', ended_at = clock_timestamp(), error_step = 'lease', error_code = 'queue_adopted',
    error = 'the queue was cloned while this attempt ran, and its clone adopted'
FROM pgdumpd.backup_jobs AS j
WHERE a.outcome = 'running' AND j.id = a.job_id AND j.finished_at IS NOT NULL

-- Which of these attempts' jobs have not ended: what they stored may be about to be recorded. $1 lease tokens.
SELECT a.lease_token
FROM pgdumpd.backup_attempts AS a
-- A job that row security hides from this role must pass for one that has not ended.
LEFT JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
WHERE a.lease_token = ANY ($1::uuid[]) AND j.finished_at IS NULL

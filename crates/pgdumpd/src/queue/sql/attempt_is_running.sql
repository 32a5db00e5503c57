-- Whether an attempt still runs, or its job may adopt what it stored. $1 lease token.
SELECT a.outcome = 'running' OR j.finished_at IS NULL AS in_use
FROM pgdumpd.backup_attempts AS a
JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
WHERE a.lease_token = $1

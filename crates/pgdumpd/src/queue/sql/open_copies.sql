-- The copies of a backup that have not ended. $1 the backup's job.
SELECT j.id AS job_id, j.copy_to, j.state = 'running' AS runs
FROM pgdumpd.backup_jobs AS j
WHERE j.copy_of = $1 AND j.finished_at IS NULL
ORDER BY j.copy_to

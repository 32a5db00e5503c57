-- Cancels the copies of a backup that have not ended, and says what became of each. $1 the backup's job.
SELECT j.id AS job_id, j.copy_to, pgdumpd.cancel_backup(j.id) AS said
FROM pgdumpd.backup_jobs AS j
WHERE j.copy_of = $1 AND j.finished_at IS NULL
ORDER BY j.copy_to

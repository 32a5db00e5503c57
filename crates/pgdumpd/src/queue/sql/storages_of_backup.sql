-- Each storage that has, or had, a backup. $1 the backup's job.
SELECT
    c.storage,
    c.size_bytes,
    c.state,
    c.stored_at,
    c.last_proved_at,
    c.deleted_at
FROM pgdumpd.backup_copies AS c
WHERE c.job_id = $1
ORDER BY c.stored_at, c.storage

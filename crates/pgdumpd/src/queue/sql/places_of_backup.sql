-- Where a backup is, or may be: what is recorded as stored or as being deleted, and what attempts, also those of its copies, have stored under
-- and nobody has cleaned up after.
-- $1 the backup's job.
SELECT c.storage, c.storage_id, c.object_key, true AS recorded, c.state = 'deleting' AS is_being_deleted
FROM pgdumpd.backup_copies AS c
WHERE c.job_id = $1 AND c.state <> 'deleted'
UNION ALL
SELECT DISTINCT a.storage, a.storage_id, a.object_key, false, false
FROM pgdumpd.backup_jobs AS j
JOIN pgdumpd.backup_attempts AS a ON a.job_id = j.id
WHERE (j.id = $1 OR j.copy_of = $1)
  AND a.object_key IS NOT NULL
  AND a.outcome <> 'succeeded'
  AND a.cleared_at IS NULL
  AND NOT EXISTS (SELECT FROM pgdumpd.backup_copies AS c WHERE c.job_id = $1 AND c.object_key = a.object_key)

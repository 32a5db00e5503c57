-- The copies of a job's backup that are stored; not those that are being deleted. $1 job.
SELECT c.storage, c.storage_id, c.object_key, c.size_bytes, c.stored_at
FROM pgdumpd.backup_copies AS c
WHERE c.job_id = $1 AND c.state = 'stored'
ORDER BY c.stored_at, c.storage_id

-- Notes a backup that a storage holds and whose job ended without knowing it.
-- $1 job, $2 storage, $3 storage id, $4 object key, $5 size in bytes.
INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state, stored_at)
SELECT j.id, $2, $3, $4, $5, 'stored', j.finished_at
FROM pgdumpd.backup_jobs AS j
WHERE j.id = $1 AND j.finished_at IS NOT NULL
ON CONFLICT DO NOTHING
RETURNING job_id

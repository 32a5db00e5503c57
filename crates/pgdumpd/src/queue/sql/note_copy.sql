-- Notes a backup that a storage holds and whose job ended without knowing it.
-- $1 job, $2 storage, $3 storage id, $4 object key, $5 size in bytes.
INSERT INTO pgdumpd.backup_copies AS c (job_id, storage, storage_id, object_key, size_bytes, state, stored_at)
SELECT j.id, $2, $3, $4, $5, 'stored', j.finished_at
FROM pgdumpd.backup_jobs AS j
WHERE j.id = $1 AND j.finished_at IS NOT NULL
  -- What is to be deleted must not come back.
  AND NOT EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = j.id)
-- There is one row for each storage: another backup of the job may have lain there, and be gone.
ON CONFLICT (job_id, storage_id) DO UPDATE
SET storage = excluded.storage, object_key = excluded.object_key, size_bytes = excluded.size_bytes,
    state = 'stored', stored_at = excluded.stored_at, last_proved_at = NULL, deleted_at = NULL
WHERE c.state = 'deleted'
RETURNING c.job_id

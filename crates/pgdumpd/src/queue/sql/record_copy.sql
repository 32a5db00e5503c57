-- Notes a backup that a storage holds and whose job ended without knowing it; also one whose deletion was requested: only
-- what is recorded is deleted.
-- $1 job, $2 storage, $3 storage id, $4 object key, $5 size in bytes.
INSERT INTO pgdumpd.backup_copies AS c (job_id, storage, storage_id, object_key, size_bytes, state, stored_at, claimed_at)
SELECT j.id, $2, $3, $4, $5, 'stored', j.finished_at, coalesce(own.claimed_at, original.claimed_at)
FROM pgdumpd.backup_jobs AS j
-- As old as the attempt that dumped it, however that ended. Attempts that a rebuilt queue has of no daemon say nothing.
LEFT JOIN LATERAL (
    SELECT a.started_at AS claimed_at
    FROM pgdumpd.backup_attempts AS a
    WHERE a.job_id = j.id AND a.object_key = $4 AND a.worker_id <> '00000000-0000-0000-0000-000000000000'
    ORDER BY a.attempt, a.started_at
    LIMIT 1
) AS own ON true
-- A copy is as old as its backup, where the job's rows agree about that.
LEFT JOIN LATERAL (
    SELECT min(b.claimed_at) AS claimed_at
    FROM pgdumpd.backup_copies AS b
    WHERE b.job_id = j.id
      AND EXISTS (SELECT FROM pgdumpd.backup_jobs AS k
                  JOIN pgdumpd.backup_attempts AS a ON a.job_id = k.id
                  WHERE k.copy_of = j.id AND a.object_key = $4)
    HAVING min(b.claimed_at) = max(b.claimed_at) AND count(b.claimed_at) = count(*)
) AS original ON true
WHERE j.id = $1 AND j.finished_at IS NOT NULL
-- There is one row for each storage: another backup of the job may have lain there, and be gone.
ON CONFLICT (job_id, storage_id) DO UPDATE
SET storage = excluded.storage, object_key = excluded.object_key, size_bytes = excluded.size_bytes,
    state = 'stored', stored_at = excluded.stored_at, last_proved_at = NULL, deleted_at = NULL,
    claimed_at = excluded.claimed_at
WHERE c.state = 'deleted'
RETURNING c.job_id

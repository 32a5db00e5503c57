-- Attempts without a backup, of jobs that have ended: no next attempt will clear up after them.
-- $1 targets, $2 how many, $3 attempts to leave out, $4 names of storages, $5 the id of each, or NULL where it is not known,
-- $6 the queue's id.
SELECT a.lease_token, a.job_id, j.kind, j.target, a.storage, a.storage_id, a.object_key, a.upload_id,
       -- Whose backup it would be.
       coalesce(j.copy_of, j.id) AS backup_id,
       EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = coalesce(j.copy_of, j.id)) AS deletion_requested
FROM pgdumpd.backup_attempts AS a
JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
WHERE a.cleared_at IS NULL
  AND (
    -- Not those of a queue that was cloned: what they left is the original's.
    (a.outcome = 'lost' AND a.error_code = 'daemon_died')
    -- Their daemons cleared up themselves, if target and storage could be reached then: that is looked at once more.
    -- An attempt without a key never came to its dump.
    OR (a.outcome IN ('failed', 'cancelled', 'released') AND a.object_key IS NOT NULL)
  )
  AND j.finished_at IS NOT NULL
  -- An adopted clone's rows name the keys of the original.
  AND (a.object_key IS NULL OR a.object_key LIKE $6::uuid::text || '/%')
  AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $6)
  -- A copy has nothing on its target; a backup's target may be gone from every configuration.
  AND (
    (j.kind <> 'copy' AND j.target = ANY ($1::text[]))
    OR (a.storage IS NULL AND j.kind = 'copy')
    -- By the id, where it is known: a storage may have another name by now.
    OR EXISTS (
        SELECT FROM unnest($4::text[], $5::uuid[]) AS s (name, id)
        WHERE coalesce(s.id = a.storage_id, s.name = a.storage))
  )
  AND a.lease_token <> ALL ($3::uuid[])
ORDER BY a.started_at
LIMIT $2

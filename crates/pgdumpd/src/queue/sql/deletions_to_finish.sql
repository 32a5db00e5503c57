-- Backups that storages still hold and that are to go: a person requested it, and a daemon stored them after that, or their
-- storage was away; or a daemon began to delete them and died, and its rules are nobody's any more.
-- $1 storage ids, $2 how many, $3 jobs to leave out, $4 the queue's id.
SELECT c.job_id, j.target, c.storage, c.storage_id, c.object_key, c.requested
FROM (
    SELECT b.job_id, b.storage, b.storage_id, b.object_key, b.state, true AS requested, d.requested_at AS since
    FROM pgdumpd.backup_deletions AS d
    JOIN pgdumpd.backup_copies AS b ON b.job_id = d.job_id
    UNION ALL
    SELECT b.job_id, b.storage, b.storage_id, b.object_key, b.state, false, b.stored_at
    FROM pgdumpd.backup_copies AS b
    WHERE b.state = 'deleting'
      AND NOT EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = b.job_id)
) AS c
JOIN pgdumpd.backup_jobs AS j ON j.id = c.job_id
WHERE c.state <> 'deleted'
  AND c.storage_id = ANY ($1::uuid[])
  AND c.job_id <> ALL ($3::uuid[])
  -- An adopted clone's rows name the keys of the original, whose backups they are.
  AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $4 AND c.object_key LIKE q.id::text || '/%')
ORDER BY c.since, c.job_id, c.storage_id
LIMIT $2

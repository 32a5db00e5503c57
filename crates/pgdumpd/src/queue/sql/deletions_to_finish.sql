-- Backups whose deletion was requested and that storages still hold: a daemon stored them after the request, or their
-- storage was away.
-- $1 storage ids, $2 how many, $3 jobs to leave out, $4 the queue's id.
SELECT c.job_id, c.storage, c.storage_id, c.object_key
FROM pgdumpd.backup_deletions AS d
JOIN pgdumpd.backup_copies AS c ON c.job_id = d.job_id
WHERE c.state <> 'deleted'
  AND c.storage_id = ANY ($1::uuid[])
  AND d.job_id <> ALL ($3::uuid[])
  -- An adopted clone's rows name the keys of the original, whose backups they are.
  AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $4 AND c.object_key LIKE q.id || '/%')
ORDER BY d.requested_at, c.job_id, c.storage_id
LIMIT $2

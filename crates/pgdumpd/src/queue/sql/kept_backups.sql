-- What the queue notes of a target in one storage, newest first by the queue's order; what is being deleted, too.
-- $1 the queue's id, $2 target, $3 storage id.
SELECT c.job_id, j.spec, c.object_key, c.claimed_at,
       -- Or a person has requested it, everywhere.
       c.state = 'deleting' OR EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = j.id) AS deleting,
       -- Roles that act for all jobs, and the daemons' schedules with them, are counted together, every other producer by
       -- itself: nobody's jobs push out the backups of another. Of a role that is gone nobody knows what it was.
       CASE WHEN j.requested_by NOT IN (
                SELECT r.rolname FROM pg_catalog.pg_roles AS r
                WHERE has_function_privilege(r.oid, 'pgdumpd.operate_on_all_jobs()', 'EXECUTE'))
            THEN j.requested_by END AS producer
FROM pgdumpd.backup_copies AS c
JOIN pgdumpd.backup_jobs AS j ON j.id = c.job_id
-- By the copy's own target, which an index has with what is still stored: the target's jobs are many more.
WHERE c.target = $2
  AND c.storage_id = $3
  AND j.kind = 'backup'
  AND c.state <> 'deleted'
  -- An adopted clone knows the original's jobs, and must not touch their backups.
  AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $1)
-- The collation of the database may change with its operating system.
ORDER BY c.claimed_at DESC NULLS LAST, c.object_key COLLATE "C" DESC

-- Attempts whose daemons fell silent, of jobs that have ended: no next attempt will clear up after them.
-- $1 targets, $2 how many, $3 attempts to leave out.
SELECT a.lease_token, a.job_id, j.target, a.storage, a.storage_id, a.object_key, a.upload_id
FROM pgdumpd.backup_attempts AS a
JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
WHERE a.outcome = 'lost' AND a.cleared_at IS NULL
  -- Not those of a queue that was cloned: what they left is the original's.
  AND a.error_code = 'daemon_died'
  AND j.finished_at IS NOT NULL
  AND j.target = ANY ($1::text[])
  AND a.lease_token <> ALL ($3::uuid[])
ORDER BY a.started_at
LIMIT $2

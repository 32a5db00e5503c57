-- The attempts that a storage has something of, and those that it may have an unfinished upload of, for `pgdumpd fsck`.
-- $1 the lease tokens that are names there, $2 the storage's id.
SELECT a.lease_token, a.job_id, a.outcome = 'running' AS running, a.cleared_at IS NOT NULL AS cleared,
       a.storage_id, a.object_key, a.upload_id, j.finished_at IS NOT NULL AS job_has_ended,
       EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = coalesce(j.copy_of, j.id)) AS deletion_requested
FROM (
    SELECT t.lease_token
    FROM pgdumpd.backup_attempts AS t
    WHERE t.lease_token = ANY ($1)
    UNION
    SELECT t.lease_token
    FROM pgdumpd.backup_attempts AS t
    -- As an index has it: of all that was ever attempted little is left to clear up.
    WHERE t.cleared_at IS NULL AND (t.outcome = 'lost' OR t.outcome IN ('failed', 'cancelled', 'released') AND t.object_key IS NOT NULL)
      AND t.storage_id = $2 AND t.upload_id IS NOT NULL
) AS wanted
JOIN pgdumpd.backup_attempts AS a ON a.lease_token = wanted.lease_token
-- Every attempt has a job. Where row security hides it from this role, it must pass for one that has not ended.
LEFT JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
WHERE a.object_key IS NOT NULL

-- Every attempt that has noted where it stores, for `pgdumpd fsck`.
SELECT a.lease_token, a.job_id, a.outcome = 'running' AS running, a.cleared_at IS NOT NULL AS cleared,
       a.storage_id, a.object_key, a.upload_id, j.finished_at IS NOT NULL AS job_has_ended,
       EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = coalesce(j.copy_of, j.id)) AS deletion_requested
FROM pgdumpd.backup_attempts AS a
-- Every attempt has a job. Where row security hides it from this role, it must pass for one that has not ended.
LEFT JOIN pgdumpd.backup_jobs AS j ON j.id = a.job_id
WHERE a.object_key IS NOT NULL

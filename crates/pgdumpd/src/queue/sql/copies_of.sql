-- The copies of a job's backup that are stored, not those that are being deleted, with what the queue knows of the backup. $1 job.
SELECT c.storage, c.storage_id, c.object_key, c.size_bytes, c.stored_at,
       j.target, j.requested_by, a.attempt,
       -- What --rebuild has made of a manifest is compared with nothing: it may not know when the attempt was claimed.
       CASE WHEN a.worker_id <> '00000000-0000-0000-0000-000000000000' THEN a.started_at END AS claimed_at,
       -- The job notes the backup of the attempt that succeeded. `fsck --repair` may have noted another one here, which
       -- an attempt stored whole before its daemon died.
       CASE WHEN a.lease_token IS NULL OR NOT EXISTS (
           SELECT FROM pgdumpd.backup_attempts AS s
           WHERE s.job_id = c.job_id AND s.outcome = 'succeeded' AND s.object_key <> c.object_key
             AND s.worker_id <> '00000000-0000-0000-0000-000000000000')
       THEN j.sha256 END AS sha256
FROM pgdumpd.backup_copies AS c
-- Left joins: row security may hide the job from this role. A copy's attempt belongs to a job of its own.
LEFT JOIN pgdumpd.backup_jobs AS j ON j.id = c.job_id
LEFT JOIN LATERAL (
    SELECT f.lease_token, f.attempt, f.worker_id, f.started_at
    FROM pgdumpd.backup_attempts AS f
    WHERE f.job_id = c.job_id AND f.object_key = c.object_key
    -- One that adopted the backup notes the same key: the first one stored it.
    ORDER BY f.attempt
    LIMIT 1
) AS a ON true
WHERE c.job_id = $1 AND c.state = 'stored'
ORDER BY c.stored_at, c.storage_id

-- Every copy that is recorded, with what the queue knows of the backup.
SELECT c.job_id, c.storage, c.storage_id, c.object_key, c.size_bytes, c.state, c.stored_at,
       j.target, j.requested_by, a.attempt,
       -- What --rebuild has made of a manifest is compared with nothing: it may not know when the attempt was claimed.
       CASE WHEN a.worker_id <> '00000000-0000-0000-0000-000000000000' THEN a.started_at END AS claimed_at,
       CASE
           -- A copy's own job notes what it sent.
           WHEN a.lease_token IS NULL THEN coalesce(o.sha256, j.sha256)
           -- The job notes the backup of the attempt that succeeded. A daemon or `fsck --repair` may have recorded another
           -- one here, which an attempt stored whole before its daemon died.
           WHEN NOT EXISTS (
               SELECT FROM pgdumpd.backup_attempts AS s
               WHERE s.job_id = c.job_id AND s.outcome = 'succeeded' AND s.object_key <> c.object_key
                 AND s.worker_id <> '00000000-0000-0000-0000-000000000000')
           THEN j.sha256
       END AS sha256
FROM pgdumpd.backup_copies AS c
-- Left joins: row security may hide the job from this role. A copy's attempt belongs to a job of its own.
LEFT JOIN pgdumpd.backup_jobs AS j ON j.id = c.job_id
LEFT JOIN LATERAL (
    SELECT f.lease_token, f.attempt, f.worker_id, f.started_at
    FROM pgdumpd.backup_attempts AS f
    WHERE f.job_id = c.job_id AND f.object_key = c.object_key
    -- One that adopted the backup notes the same key: the first one stored it. Numbers repeat after a release.
    ORDER BY f.attempt, f.started_at
    LIMIT 1
) AS a ON true
LEFT JOIN LATERAL (
    SELECT k.sha256
    FROM pgdumpd.backup_jobs AS k
    JOIN pgdumpd.backup_attempts AS f ON f.job_id = k.id
    WHERE k.copy_of = c.job_id AND f.object_key = c.object_key AND k.sha256 IS NOT NULL
    LIMIT 1
) AS o ON true

-- Ends a copy as succeeded, and notes that one more storage holds the backup: no row means that the lease is lost. A
-- cancel that came late loses.
-- $1 job, $2 lease token, $3 storage, $4 storage id, $5 object key, $6 size in bytes, $7 sha256, $8 message, $9 bytes stored.
WITH ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = 'succeeded',
        finished_at = clock_timestamp(),
        -- The token stays, so that a daemon whose answer was lost can ask again.
        lease_expires_at = NULL,
        phase = 'done', progress = 100, message = $8, bytes_stored = $9,
        estimated_end = NULL, progress_at = clock_timestamp(),
        size_bytes = $6, sha256 = $7
    WHERE j.id = $1 AND j.lease_token = $2 AND j.finished_at IS NULL
    RETURNING j.copy_of, j.lease_token, j.finished_at
), attempt AS (
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = 'succeeded', ended_at = e.finished_at, storage = $3, storage_id = $4, object_key = $5
    FROM ended AS e
    WHERE a.lease_token = e.lease_token
), stored AS (
    INSERT INTO pgdumpd.backup_copies AS c
        (job_id, storage, storage_id, object_key, size_bytes, state, stored_at, last_proved_at, claimed_at)
    SELECT e.copy_of, $3, $4, $5, $6, 'stored', e.finished_at, e.finished_at,
           -- As old as its backup. Where the job's rows disagree, it had two backups, and nobody knows which this is of.
           (SELECT CASE WHEN min(b.claimed_at) = max(b.claimed_at) AND count(b.claimed_at) = count(*)
                        THEN min(b.claimed_at) END
            FROM pgdumpd.backup_copies AS b WHERE b.job_id = e.copy_of)
    FROM ended AS e
    -- The storage held the backup before, and it was deleted there.
    ON CONFLICT (job_id, storage_id) DO UPDATE
    SET storage = excluded.storage, object_key = excluded.object_key, size_bytes = excluded.size_bytes, state = 'stored',
        stored_at = excluded.stored_at, last_proved_at = excluded.last_proved_at, deleted_at = NULL,
        claimed_at = excluded.claimed_at
)
SELECT 'succeeded' AS state, NULL::timestamptz AS requeued_for FROM ended

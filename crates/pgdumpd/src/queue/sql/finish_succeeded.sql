-- Ends a job as succeeded, a backup, and asks for its copies to further storages: no row means that the lease is lost. A
-- cancel that came late loses.
-- $1 job, $2 lease token, $3 storage, $4 storage id, $5 object key, $6 size in bytes, $7 sha256,
-- $8 warnings, $9 warnings in all, $10 message, $11 tables done, $12 tables total, $13 rows done,
-- $14 bytes dumped, $15 bytes stored, $16 names of the storages to copy to.
WITH ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = 'succeeded',
        finished_at = clock_timestamp(),
        -- The token stays, so that a daemon whose answer was lost can ask again.
        lease_expires_at = NULL,
        phase = 'done', progress = 100, message = $10, current_table = NULL,
        tables_done = $11, tables_total = $12, rows_done = $13, bytes_dumped = $14, bytes_stored = $15,
        estimated_end = NULL, progress_at = clock_timestamp(),
        size_bytes = $6, sha256 = $7, warnings = $8, warnings_total = $9
    WHERE j.id = $1 AND j.lease_token = $2 AND j.finished_at IS NULL
    RETURNING j.id, j.lease_token, j.started_at, j.finished_at
), attempt AS (
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = 'succeeded', ended_at = e.finished_at, storage = $3, storage_id = $4, object_key = $5
    FROM ended AS e
    WHERE a.lease_token = e.lease_token
), stored AS (
    INSERT INTO pgdumpd.backup_copies
        (job_id, storage, storage_id, object_key, size_bytes, state, stored_at, last_proved_at, claimed_at)
    SELECT e.id, $3, $4, $5, $6, 'stored', e.finished_at, e.finished_at,
           -- As old as the attempt that dumped it, which recorded its key first; another may have adopted it. By number: the
           -- clock may have been set back between them.
           coalesce((SELECT a.started_at FROM pgdumpd.backup_attempts AS a
                     WHERE a.job_id = e.id AND a.object_key = $5
                     ORDER BY a.attempt, a.started_at LIMIT 1), e.started_at)
    FROM ended AS e
), copies AS (
    -- The row's trigger adds what is the backup's. With the backoff of an hour at most, so many attempts outlast an
    -- outage of days.
    INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to, max_attempts)
    SELECT 'copy', e.id, further.storage, 100
    FROM ended AS e
    CROSS JOIN unnest($16::text[]) AS further (storage)
)
SELECT 'succeeded' AS state, NULL::timestamptz AS requeued_for FROM ended

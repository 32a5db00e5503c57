-- Renews a lease, writes progress, and says whether to cancel: no row means that the lease is lost.
-- $1 job, $2 lease token, $3 lease in seconds, $4 phase, $5 percent, $6 message, $7 current table,
-- $8 tables done, $9 tables total, $10 rows done, $11 bytes dumped, $12 bytes stored, $13 seconds remaining,
-- $14 rows expected.
UPDATE pgdumpd.backup_jobs AS j
SET lease_expires_at = clock_timestamp() + make_interval(secs => $3),
    -- The time of the last change, so that an application sees a dump that stands still.
    progress_at = CASE
        WHEN (j.phase, j.message, j.current_table, j.tables_done, j.tables_total, j.rows_done, j.bytes_dumped, j.bytes_stored)
             IS DISTINCT FROM ($4::text, $6::text, $7::text, $8::integer, $9::integer, $10::bigint, $11::bigint, $12::bigint)
          OR least($5::real, 99.9::real) > j.progress
        THEN clock_timestamp()
        ELSE j.progress_at
    END,
    phase = $4,
    -- Never back within an attempt, and 100 only with success.
    progress = greatest(j.progress, least($5::real, 99.9::real)),
    message = $6,
    current_table = $7,
    tables_done = $8,
    tables_total = $9,
    rows_done = $10,
    rows_expected = $14,
    bytes_dumped = $11,
    bytes_stored = $12,
    estimated_end = clock_timestamp() + make_interval(secs => $13)
-- By key and token, never by state: while a dump's snapshot keeps dead rows, an index on state is long.
-- An expired lease that nobody has reaped is still good.
WHERE j.id = $1 AND j.lease_token = $2 AND j.finished_at IS NULL
RETURNING EXISTS (SELECT FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id) AS cancel

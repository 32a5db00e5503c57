-- Ends a job as cancelled, after its attempt was stopped and cleaned up: no row means that the lease is lost.
-- $1 job, $2 lease token, $3 why, where nobody asked for it.
WITH ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = 'cancelled', finished_at = clock_timestamp(), lease_expires_at = NULL,
        message = coalesce($3, 'cancelled'), current_table = NULL, estimated_end = NULL
    WHERE j.id = $1 AND j.lease_token = $2 AND j.finished_at IS NULL
    RETURNING j.lease_token, j.finished_at
), attempt AS (
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = 'cancelled', ended_at = e.finished_at
    FROM ended AS e
    WHERE a.lease_token = e.lease_token
)
SELECT 'cancelled' AS state, NULL::timestamptz AS requeued_for FROM ended

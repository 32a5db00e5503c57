-- $1 targets (a null takes all), $2 the most rows. The jobs that are queued or running: first what runs, then what has
-- waited longest.
SELECT
    id,
    target,
    kind,
    copy_of,
    copy_to,
    state,
    phase,
    progress,
    copies,
    queue_position,
    waits_because,
    requested_by,
    last_update,
    metadata,
    since,
    worker_id,
    worker_host,
    worker_pid,
    worker_last_seen_at,
    lease_expires_at,
    unserved
FROM pgdumpd.backup_monitoring
WHERE $1::text[] IS NULL OR target = ANY ($1::text[])
-- The id decides between jobs of one instant.
ORDER BY state DESC, since, id
LIMIT $2::bigint

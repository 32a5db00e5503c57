-- Every daemon that the queue knows, first those that are alive. $1 the most rows.
SELECT
    d.id,
    d.host,
    d.pid,
    d.version,
    d.state,
    d.max_jobs,
    d.max_copies,
    d.running_jobs,
    d.running_copies,
    COALESCE(d.targets, '{}') AS targets,
    COALESCE(d.storages, '{}') AS storages,
    d.checks,
    d.checked_at,
    d.started_at,
    d.last_seen_at
FROM pgdumpd.daemon_status AS d
ORDER BY CASE d.state WHEN 'alive' THEN 1 WHEN 'stopping' THEN 2 ELSE 3 END, d.host, d.started_at DESC
LIMIT $1::bigint

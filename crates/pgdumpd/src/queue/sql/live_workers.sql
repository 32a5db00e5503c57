-- The daemons that were seen within their lease.
SELECT w.id, w.host, w.pid, w.version, w.targets, w.stopping, w.started_at, w.last_seen_at
FROM pgdumpd.workers AS w
WHERE w.last_seen_at > clock_timestamp() - w.lease
ORDER BY w.started_at, w.id

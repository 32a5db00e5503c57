-- The daemons that are alive and mean different things by one target: all of them, or those that $1 is one of.
SELECT d.target, d.settings, d.host, d.pid, d.other_host, d.other_pid
FROM pgdumpd.target_differences AS d
WHERE $1::uuid IS NULL OR $1 IN (d.worker_id, d.other_id)
ORDER BY d.target, d.host, d.pid, d.other_host, d.other_pid

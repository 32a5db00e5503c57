-- Targets that have queued jobs and that no daemon serves, those with the most first.
SELECT m.target, pg_catalog.count(*) AS jobs
FROM pgdumpd.backup_monitoring AS m
WHERE m.unserved
GROUP BY m.target
ORDER BY jobs DESC, m.target
LIMIT 10

-- Targets of queued backups that belong to one of these servers with a target for each database, and are not among those that are
-- known.
-- $1 the servers' names in the configuration, $2 known targets.
WITH RECURSIVE queued (target) AS (
    -- Walks from target to target in the claim index, not over the jobs.
    (SELECT j.target FROM pgdumpd.backup_jobs AS j WHERE j.state = 'queued' ORDER BY j.target LIMIT 1)
    UNION ALL
    SELECT (SELECT j.target FROM pgdumpd.backup_jobs AS j
            WHERE j.state = 'queued' AND j.target > q.target ORDER BY j.target LIMIT 1)
    FROM queued AS q
    WHERE q.target IS NOT NULL
)
SELECT q.target
FROM queued AS q
WHERE pg_catalog.split_part(q.target, '/', 1) = ANY ($1::text[]) AND q.target <> ALL ($2::text[])
LIMIT 20

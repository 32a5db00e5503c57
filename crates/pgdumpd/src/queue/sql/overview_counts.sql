-- The time, and how many jobs are queued and running. $1 targets (a null takes all).
SELECT
    clock_timestamp() AS now,
    count(*) FILTER (WHERE j.state = 'queued') AS queued,
    count(*) FILTER (WHERE j.state = 'running') AS running
FROM pgdumpd.backup_jobs AS j
WHERE j.state IN ('queued', 'running') AND ($1::text[] IS NULL OR j.target = ANY ($1::text[]))

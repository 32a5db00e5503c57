-- How many jobs wait and run, for monitoring.
SELECT kind, state, jobs, oldest_due_at
FROM pgdumpd.job_metrics
ORDER BY kind, state

-- The targets, for monitoring. A queue that serves more is asked about the first of them alone: a bound on an answer's size.
SELECT target, daemons, last_success_at, last_size_bytes, last_seconds, last_failure_at, last_proved_at, queued_jobs, running_jobs
FROM pgdumpd.target_metrics
ORDER BY target
LIMIT 10000

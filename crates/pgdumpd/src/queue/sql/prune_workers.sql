-- Forgets daemons that were not seen for a week and hold no job.
DELETE FROM pgdumpd.workers AS w
WHERE w.last_seen_at < clock_timestamp() - interval '7 days'
  AND NOT EXISTS (SELECT FROM pgdumpd.backup_jobs AS j WHERE j.state = 'running' AND j.worker_id = w.id)
RETURNING w.id

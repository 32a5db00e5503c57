-- Keeps what a daemon's own checks found. $1 worker, $2 checks.
UPDATE pgdumpd.workers AS w SET checks = $2, checked_at = clock_timestamp() WHERE w.id = $1

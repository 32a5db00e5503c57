-- Notes that nothing of an attempt without a backup is left.
-- $1 lease token.
UPDATE pgdumpd.backup_attempts AS a
SET cleared_at = clock_timestamp()
WHERE a.lease_token = $1 AND a.outcome NOT IN ('running', 'succeeded') AND a.cleared_at IS NULL
RETURNING a.job_id

-- Notes that a stored copy was read again and is what was stored. $1 job, $2 storage id, $3 object key.
UPDATE pgdumpd.backup_copies
SET last_proved_at = clock_timestamp()
WHERE job_id = $1 AND storage_id = $2 AND object_key = $3 AND state = 'stored'
RETURNING job_id

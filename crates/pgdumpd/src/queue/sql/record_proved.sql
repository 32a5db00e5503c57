-- Notes that a stored copy was read again and is what was stored. $1 job, $2 storage id, $3 object key.
WITH whole AS (
    DELETE FROM pgdumpd.alerts AS a WHERE a.kind = 'damaged' AND a.subject = $2::uuid::text || ' ' || $3
)
UPDATE pgdumpd.backup_copies
SET last_proved_at = clock_timestamp()
WHERE job_id = $1 AND storage_id = $2 AND object_key = $3 AND state = 'stored'
RETURNING job_id

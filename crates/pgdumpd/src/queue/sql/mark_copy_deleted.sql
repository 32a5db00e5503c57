-- Notes that a copy is gone from its storage. $1 job, $2 storage id.
UPDATE pgdumpd.backup_copies AS c
SET state = 'deleted', deleted_at = clock_timestamp()
WHERE c.job_id = $1 AND c.storage_id = $2 AND c.state = 'stored'
RETURNING c.job_id

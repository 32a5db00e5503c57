-- Notes that a copy is gone from its storage. $1 storage id, $2 object key, which no two copies share.
UPDATE pgdumpd.backup_copies AS c
SET state = 'deleted', deleted_at = clock_timestamp()
WHERE c.storage_id = $1 AND c.object_key = $2 AND c.state IN ('stored', 'deleting')
RETURNING c.job_id

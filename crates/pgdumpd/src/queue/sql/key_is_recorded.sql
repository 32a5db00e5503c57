-- Whether a backup is recorded as stored, or as being deleted, under this key, wherever. $1 object key.
SELECT EXISTS (
    SELECT FROM pgdumpd.backup_copies AS c WHERE c.object_key = $1 AND c.state <> 'deleted'
) AS recorded

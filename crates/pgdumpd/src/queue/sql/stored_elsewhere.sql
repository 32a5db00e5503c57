-- How many backups are recorded as stored in storages other than these. $1 their ids.
SELECT c.storage, c.storage_id, count(*) AS backups
FROM pgdumpd.backup_copies AS c
WHERE c.state = 'stored' AND c.storage_id <> ALL ($1)
GROUP BY c.storage, c.storage_id
ORDER BY c.storage, c.storage_id

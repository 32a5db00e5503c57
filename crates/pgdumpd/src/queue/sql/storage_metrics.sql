-- What the storages hold, for monitoring.
SELECT storage, backups, stored_bytes
FROM pgdumpd.storage_metrics
ORDER BY storage
LIMIT 1000

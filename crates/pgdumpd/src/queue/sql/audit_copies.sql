-- Every copy that is noted, for `pgdumpd fsck`.
SELECT c.job_id, c.storage, c.storage_id, c.object_key, c.size_bytes, c.state
FROM pgdumpd.backup_copies AS c

-- Notes where an attempt will store, before the first part is sent: no row means that the lease is lost.
-- $1 job, $2 lease token, $3 storage, $4 storage id, $5 object key, $6 upload id.
UPDATE pgdumpd.backup_attempts AS a
SET storage = $3, storage_id = $4, object_key = $5, upload_id = $6
-- The attempt's row ends with the lease, in the same statement.
WHERE a.lease_token = $2 AND a.job_id = $1 AND a.outcome = 'running'
RETURNING a.job_id

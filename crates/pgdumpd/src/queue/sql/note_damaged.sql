-- Writes that a stored backup was found damaged, once until it is found whole. The target is its job's.
-- $1 the backup's job, $2 storage, $3 storage id, $4 object key, $5 code, $6 what was found.
WITH opened AS (
    INSERT INTO pgdumpd.alerts (kind, subject)
    SELECT 'damaged', $3::uuid::text || ' ' || $4
    ON CONFLICT DO NOTHING
    RETURNING subject
)
SELECT pgdumpd.notify_receivers('damaged', (SELECT j.target FROM pgdumpd.backup_jobs AS j WHERE j.id = $1), $1, jsonb_build_object(
           'storage', $2::text, 'object_key', $4::text, 'code', $5::text, 'error', left($6, 4000))) AS receivers
FROM opened

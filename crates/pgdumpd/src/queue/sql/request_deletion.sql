-- Requests that a backup is deleted everywhere, also where a daemon stores it later. No row: there is no such backup. One
-- whose job has not ended is only reported: it has to be cancelled first.
-- $1 the backup's job, $2 whether to write the request, $3 the queue's id.
WITH asked AS MATERIALIZED (
    SELECT j.id, j.target, j.finished_at IS NOT NULL AS has_ended
    FROM pgdumpd.backup_jobs AS j
    WHERE j.id = $1 AND j.kind = 'backup'
      AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $3)
), requested AS (
    INSERT INTO pgdumpd.backup_deletions (job_id)
    SELECT a.id FROM asked AS a WHERE a.has_ended AND $2
    ON CONFLICT DO NOTHING
)
SELECT a.target, a.has_ended FROM asked AS a

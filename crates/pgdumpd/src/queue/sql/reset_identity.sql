-- Stamps a cloned queue with a new id and ends what it was cloned with: the original's daemons run those jobs.
-- $1 the id it has now, $2 the new one. No row: the id is another by now.
WITH stamped AS (
    UPDATE pgdumpd.queue AS q SET id = $2, adopted_at = clock_timestamp() WHERE q.id = $1 RETURNING q.id
), open_jobs AS MATERIALIZED (
    SELECT j.id, j.state, j.lease_token
    FROM pgdumpd.backup_jobs AS j
    WHERE j.finished_at IS NULL AND j.state IN ('queued', 'running') AND EXISTS (SELECT FROM stamped)
    FOR NO KEY UPDATE
), ended AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = CASE WHEN o.state = 'queued' THEN 'cancelled' ELSE 'failed' END,
        finished_at = clock_timestamp(), lease_expires_at = NULL, current_table = NULL, estimated_end = NULL,
        error_step = CASE WHEN o.state = 'running' THEN 'lease' END,
        error_code = CASE WHEN o.state = 'running' THEN 'queue_adopted' END,
        error = CASE WHEN o.state = 'running' THEN 'the queue was cloned while this attempt ran, and its clone adopted' END,
        error_hint = CASE WHEN o.state = 'running' THEN 'The original queue knows how this backup ended. Enqueue a new one here.' END
    FROM open_jobs AS o
    WHERE j.id = o.id
    RETURNING o.state AS was
), attempt AS (
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = 'lost', ended_at = clock_timestamp(), error_step = 'lease', error_code = 'queue_adopted',
        error = 'the queue was cloned while this attempt ran, and its clone adopted'
    FROM open_jobs AS o
    WHERE a.lease_token = o.lease_token AND a.outcome = 'running'
), gone AS (
    -- The original's daemons are none of this queue's.
    DELETE FROM pgdumpd.workers WHERE EXISTS (SELECT FROM stamped)
), told AS (
    -- What happened to the original is told by its daemons.
    DELETE FROM pgdumpd.notifications AS n WHERE n.sent_at IS NULL AND EXISTS (SELECT FROM stamped)
), unscheduled AS (
    -- Nor is a time that was due before.
    DELETE FROM pgdumpd.schedules WHERE EXISTS (SELECT FROM stamped)
)
SELECT s.id,
       (SELECT count(*) FROM ended WHERE was = 'queued') AS cancelled,
       (SELECT count(*) FROM ended WHERE was = 'running') AS failed
FROM stamped AS s

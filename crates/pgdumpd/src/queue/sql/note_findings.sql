-- Writes what a daemon's checks have found for the first time, and takes away what is over. A finding belongs to the daemon that
-- found it first: another one that does not see it does not end it, unless that daemon is gone.
-- $1 daemon, $2 findings: an array of objects with subject, target, code, what, hint.
WITH found AS (
    SELECT DISTINCT ON (f.subject || ': ' || f.code) f.subject || ': ' || f.code AS key, f.subject, f.target, f.code, f.what, f.hint
    FROM jsonb_to_recordset($2) AS f (subject text, target text, code text, what text, hint text)
), over AS (
    DELETE FROM pgdumpd.alerts AS a
    WHERE a.kind = 'check_failed' AND a.subject NOT IN (SELECT f.key FROM found AS f)
      AND (a.worker_id = $1 OR NOT EXISTS (
          SELECT FROM pgdumpd.workers AS w WHERE w.id = a.worker_id AND w.last_seen_at > clock_timestamp() - w.lease))
), opened AS (
    INSERT INTO pgdumpd.alerts (kind, subject, worker_id)
    SELECT 'check_failed', f.key, $1::uuid FROM found AS f ORDER BY f.key
    ON CONFLICT DO NOTHING
    RETURNING subject
)
SELECT f.key,
       pgdumpd.notify_receivers('check_failed', f.target, NULL, jsonb_build_object(
           'subject', f.subject, 'code', f.code, 'error', left(f.what, 4000), 'hint', f.hint)) AS receivers
FROM opened AS o
JOIN found AS f ON f.key = o.subject

-- Writes which targets have become overdue. However many daemons find it at one time, one of them writes it.
-- $1 targets, $2 alert_after of each, in seconds.
WITH overdue AS (
    SELECT a.target, a.seconds, good.finished_at
    FROM unnest($1::text[], $2::double precision[]) AS a (target, seconds)
    JOIN pgdumpd.watched_targets AS w ON w.target = a.target
    LEFT JOIN LATERAL (
        SELECT j.finished_at
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.target = a.target
        ORDER BY j.finished_at DESC
        LIMIT 1
    ) AS good ON true
    WHERE coalesce(good.finished_at, w.since) < clock_timestamp() - a.seconds * interval '1 second'
), opened AS (
    INSERT INTO pgdumpd.alerts (kind, subject)
    SELECT 'overdue', o.target FROM overdue AS o ORDER BY o.target
    ON CONFLICT DO NOTHING
    RETURNING subject
)
SELECT o.target,
       pgdumpd.notify_receivers('overdue', o.target, NULL, jsonb_build_object(
           'last_success_at', to_char(o.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'alert_after_seconds', o.seconds)) AS receivers
FROM opened AS n
JOIN overdue AS o ON o.target = n.subject

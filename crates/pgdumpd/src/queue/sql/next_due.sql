-- Seconds until the next job of these targets is due, 0 or less where one is; NULL where none is queued.
-- $1 targets, $2 spec versions. A busy target's jobs do not count: its end wakes the daemons.
WITH RECURSIVE waiting (target, priority, requested_by) AS (
    -- Walks from role to role in the claim index, as claim.sql does.
    SELECT t.target, p.priority,
           (SELECT CASE WHEN j.target = t.target AND j.priority = p.priority THEN j.requested_by END
            FROM pgdumpd.backup_jobs AS j
            WHERE j.state = 'queued' AND (j.target, j.priority) >= (t.target, p.priority)
            ORDER BY j.target, j.priority, j.requested_by LIMIT 1)
    FROM unnest($1::text[]) AS t (target)
    CROSS JOIN generate_series(1, 5) AS p (priority)
    WHERE (SELECT r.id FROM pgdumpd.backup_jobs AS r
           WHERE r.state = 'running' AND r.kind = 'backup' AND r.target = t.target LIMIT 1) IS NULL
    UNION ALL
    SELECT w.target, w.priority,
           (SELECT CASE WHEN j.target = w.target AND j.priority = w.priority THEN j.requested_by END
            FROM pgdumpd.backup_jobs AS j
            WHERE j.state = 'queued' AND (j.target, j.priority, j.requested_by) > (w.target, w.priority, w.requested_by)
            ORDER BY j.target, j.priority, j.requested_by LIMIT 1)
    FROM waiting AS w
    WHERE w.requested_by IS NOT NULL
)
SELECT extract(epoch FROM min(head.run_at) - clock_timestamp())::double precision AS seconds
FROM waiting AS w
CROSS JOIN LATERAL (
    SELECT j.run_at
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'queued'
      AND (j.target, j.priority, j.requested_by) >= (w.target, w.priority, w.requested_by)
      AND (j.target, j.priority, j.requested_by) <= (w.target, w.priority, w.requested_by)
      AND j.spec_version = ANY ($2::smallint[])
    ORDER BY j.target, j.priority, j.requested_by, j.run_at, j.id
    LIMIT 1
) AS head
WHERE w.requested_by IS NOT NULL

-- Seconds until the next job of these targets is due, 0 or less where one is; NULL where none is queued.
-- $1 targets, $2 spec versions. A busy target's jobs do not count: its end wakes the daemons.
WITH RECURSIVE waiting (target, priority, requested_by, run_at, is_known) AS (
    -- Walks from one priority and role to the next in the claim index, as claim.sql does.
    SELECT n.target, n.priority, n.requested_by, n.run_at, n.is_known
    FROM unnest($1::text[]) AS t (target)
    CROSS JOIN LATERAL (
        SELECT j.target, j.priority, j.requested_by, j.run_at, j.spec_version = ANY ($2::smallint[]) AS is_known
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'queued' AND (j.target, j.priority) >= (t.target, 1::smallint)
        ORDER BY j.target, j.priority, j.requested_by, j.run_at, j.id
        LIMIT 1
    ) AS n
    WHERE n.target = t.target AND n.priority <= 5
      AND (SELECT r.id FROM pgdumpd.backup_jobs AS r
           WHERE r.state = 'running' AND r.kind = 'backup' AND r.target = t.target LIMIT 1) IS NULL
    UNION ALL
    SELECT n.target, n.priority, n.requested_by, n.run_at, n.is_known
    FROM waiting AS w
    CROSS JOIN LATERAL (
        SELECT j.target, j.priority, j.requested_by, j.run_at, j.spec_version = ANY ($2::smallint[]) AS is_known
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'queued' AND (j.target, j.priority, j.requested_by) > (w.target, w.priority, w.requested_by)
        ORDER BY j.target, j.priority, j.requested_by, j.run_at, j.id
        LIMIT 1
    ) AS n
    WHERE n.target = w.target AND n.priority <= 5
)
SELECT extract(epoch FROM min(CASE WHEN w.is_known THEN w.run_at ELSE head.run_at END) - clock_timestamp())::double precision AS seconds
FROM waiting AS w
-- Only behind a first job that this daemon does not understand.
LEFT JOIN LATERAL (
    SELECT j.run_at
    FROM pgdumpd.backup_jobs AS j
    WHERE NOT w.is_known
      AND j.state = 'queued'
      AND (j.target, j.priority, j.requested_by) >= (w.target, w.priority, w.requested_by)
      AND (j.target, j.priority, j.requested_by) <= (w.target, w.priority, w.requested_by)
      AND j.spec_version = ANY ($2::smallint[])
    ORDER BY j.target, j.priority, j.requested_by, j.run_at, j.id
    LIMIT 1
) AS head ON true

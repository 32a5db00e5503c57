-- Seconds until the next job of these targets is due, 0 or less where one is; NULL where none is queued.
-- $1 targets, $2 spec versions. A busy target's jobs do not count: its end wakes the daemons.
SELECT extract(epoch FROM min(head.run_at) - clock_timestamp())::double precision AS seconds
FROM unnest($1::text[]) AS t (target)
CROSS JOIN generate_series(1, 5) AS p (priority)
CROSS JOIN LATERAL (
    SELECT j.run_at
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'queued' AND j.target = t.target AND j.priority = p.priority
      AND j.spec_version = ANY ($2::smallint[])
    ORDER BY j.run_at, j.id
    LIMIT 1
) AS head
WHERE (SELECT r.id FROM pgdumpd.backup_jobs AS r
       WHERE r.state = 'running' AND r.kind = 'backup' AND r.target = t.target LIMIT 1) IS NULL

-- Seconds until the next copy to one of these storages is due, 0 or less where one is; NULL where none is queued.
-- $1 names of storages.
SELECT extract(epoch FROM min(head.run_at) - clock_timestamp())::double precision AS seconds
FROM unnest($1::text[]) AS s (storage)
CROSS JOIN LATERAL (
    SELECT j.run_at
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'queued' AND j.kind = 'copy' AND j.copy_to = s.storage
    ORDER BY j.run_at, j.id
    LIMIT 1
) AS head

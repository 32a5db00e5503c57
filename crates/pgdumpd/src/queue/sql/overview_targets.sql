-- The targets that a daemon serves or that have a backup, with what people want to know of each. $1 names (a null takes all),
-- $2 how many of the newest backups to give the durations and sizes of.
WITH known AS MATERIALIZED (
    SELECT
        target,
        COALESCE(daemons, 0) AS daemons
    FROM pgdumpd.served_targets
    FULL JOIN pgdumpd.target_status USING (target)
    WHERE $1::text[] IS NULL OR target = ANY ($1::text[])
)
SELECT
    k.target,
    k.daemons,
    good.id AS good_id,
    good.finished_at AS good_finished_at,
    good.size_bytes AS good_size_bytes,
    good.is_partial AS good_is_partial,
    COALESCE(good.storages, '{}') AS good_storages,
    last.id AS last_id,
    last.state AS last_state,
    last.finished_at AS last_finished_at,
    ARRAY(
        SELECT s.schedule
        FROM pgdumpd.schedules AS s
        -- A schedule that no daemon has any more stays for a while. A daemon says every minute which it has.
        WHERE s.target = k.target AND s.seen_at > clock_timestamp() - interval '5 minutes'
        ORDER BY s.schedule
    ) AS schedules,
    recent.jobs AS recent
FROM known AS k
LEFT JOIN LATERAL (
    SELECT
        j.id,
        j.finished_at,
        j.size_bytes,
        j.spec ?| ARRAY['schemas', 'exclude_schemas', 'tables', 'exclude_tables', 'exclude_table_data'] AS is_partial,
        held.storages
    FROM pgdumpd.backup_jobs AS j
    CROSS JOIN LATERAL (
        SELECT array_agg(c.storage ORDER BY c.stored_at, c.storage) AS storages
        FROM pgdumpd.backup_copies AS c
        WHERE c.job_id = j.id AND c.state = 'stored'
    ) AS held
    WHERE j.target = k.target AND j.state = 'succeeded' AND j.kind = 'backup'
      -- One that was deleted from everywhere is not a backup any more.
      AND held.storages IS NOT NULL
    ORDER BY j.finished_at DESC
    LIMIT 1
) AS good ON true
LEFT JOIN LATERAL (
    SELECT
        j.id,
        j.state,
        j.finished_at
    FROM pgdumpd.backup_jobs AS j
    WHERE j.target = k.target AND j.kind = 'backup' AND j.state IN ('succeeded', 'failed', 'cancelled')
    ORDER BY j.created_at DESC, j.id DESC
    LIMIT 1
) AS last ON true
CROSS JOIN LATERAL (
    SELECT COALESCE(jsonb_agg(
        jsonb_build_object(
            'id', r.id, 'finished_at', r.finished_at,
            'seconds', extract(epoch FROM r.finished_at - r.started_at), 'size_bytes', r.size_bytes
        ) ORDER BY r.finished_at
    ), '[]') AS jobs
    FROM (
        SELECT
            j.id,
            j.started_at,
            j.finished_at,
            j.size_bytes
        FROM pgdumpd.backup_jobs AS j
        WHERE j.target = k.target AND j.state = 'succeeded' AND j.kind = 'backup'
        ORDER BY j.finished_at DESC
        LIMIT $2::bigint
    ) AS r
) AS recent
ORDER BY k.target

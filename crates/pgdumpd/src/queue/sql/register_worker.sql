-- Says that this process lives, and what it serves. Tells the time, which decides who may reap, and which queue
-- this is: in another than the daemon knows, nothing is written.
-- $1 id, $2 host, $3 pid, $4 version, $5 targets, $6 spec versions, $7 jobs at once, $8 lease in seconds, $9 stopping,
-- $10 the queue's id, $11 storages, $12 copies at once, $13 what each target means to it,
-- $14 the id of each storage, or NULL where it is not known yet.
WITH written AS (
    INSERT INTO pgdumpd.workers AS w (id, host, pid, version, targets, spec_versions, max_jobs, lease, stopping, storages, max_copies, target_settings,
                                   storage_ids)
    SELECT $1, $2, $3, $4, $5, $6, $7, make_interval(secs => $8), $9, $11, $12, $13, $14
    FROM pgdumpd.queue AS q
    WHERE q.id = $10
    ON CONFLICT (id) DO UPDATE
    SET host = excluded.host, pid = excluded.pid, version = excluded.version, targets = excluded.targets,
        spec_versions = excluded.spec_versions, max_jobs = excluded.max_jobs, lease = excluded.lease,
        stopping = excluded.stopping, storages = excluded.storages, max_copies = excluded.max_copies,
        storage_ids = excluded.storage_ids,
        -- May be large, and seldom changes: what stays is not written again.
        target_settings = CASE WHEN w.target_settings = excluded.target_settings THEN w.target_settings
                               ELSE excluded.target_settings END,
        last_seen_at = clock_timestamp()
)
SELECT q.id AS queue_id, clock_timestamp() AS now FROM pgdumpd.queue AS q

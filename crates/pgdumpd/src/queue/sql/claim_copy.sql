-- Claims the copy that has been due for longest, of those that this daemon can make: to one of its storages, from one of
-- its storages.
-- $1 names of its storages, $2 the id of each, or NULL where it has not seen it yet, $3 worker, $4 lease token (random),
-- $5 lease in seconds, $6 how many jobs to look at for each storage (1, or more to get past locked rows), $7 the queue's id.
WITH mine AS MATERIALIZED (
    SELECT s.storage, s.storage_id FROM unnest($1::text[], $2::uuid[]) AS s (storage, storage_id)
), heads AS MATERIALIZED (
    -- One probe of the copies' index for each storage. What can be read nowhere here is walked past.
    SELECT head.id, head.run_at
    FROM mine AS m
    CROSS JOIN LATERAL (
        SELECT j.id, j.run_at
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'queued'
          AND j.kind = 'copy'
          AND j.copy_to = m.storage
          -- now(), not clock_timestamp(): only a stable function can be an index condition.
          AND j.run_at <= now()
          -- Scalar sub-selects, for the reasons that claim.sql tells. One whose backup no storage holds any more is
          -- anybody's, to be ended.
          AND coalesce((SELECT bool_or(EXISTS (
                            -- A storage has one id, and may have another name by now; the name is all there is to go by
                            -- where this daemon has not seen the id yet.
                            SELECT FROM mine AS f
                            WHERE coalesce(f.storage_id = b.storage_id, f.storage = b.storage)))
                        FROM pgdumpd.backup_copies AS b
                        WHERE b.job_id = j.copy_of AND b.state = 'stored'), true)
          AND coalesce((SELECT false FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id), true)
        ORDER BY j.run_at, j.id
        LIMIT $6
    ) AS head
    -- The address may lead to another queue by now. Decided once, before any probe.
    WHERE EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $7)
), best AS MATERIALIZED (
    SELECT j.id
    FROM heads AS h
    JOIN pgdumpd.backup_jobs AS j ON j.id = h.id
    -- Said again, because the row that is locked may be newer than the one that was found.
    WHERE j.state = 'queued' AND j.run_at <= now()
    ORDER BY h.run_at, h.id
    LIMIT 1
    -- NO KEY, so that the foreign-key lock of a cancel that is not committed yet does not hide the row.
    FOR NO KEY UPDATE OF j SKIP LOCKED
), claimed AS (
    UPDATE pgdumpd.backup_jobs AS j
    SET state = 'running',
        -- Whoever queues a job again by hand after its last attempt means it to have one more.
        attempt = least(j.attempt + 1, j.max_attempts),
        worker_id = $3,
        lease_token = $4,
        lease_expires_at = clock_timestamp() + make_interval(secs => $5),
        started_at = clock_timestamp(),
        -- A new attempt starts from nothing.
        phase = 'starting', progress = 0, message = NULL, current_table = NULL,
        tables_done = NULL, tables_total = NULL, rows_done = NULL, bytes_dumped = NULL, bytes_stored = NULL,
        estimated_end = NULL, progress_at = clock_timestamp(),
        error_step = NULL, error_code = NULL, error = NULL, error_hint = NULL,
        warnings = '[]', warnings_total = 0
    FROM best
    WHERE j.id = best.id
    RETURNING j.id, j.copy_of, j.copy_to, j.target, j.spec, j.attempt, j.max_attempts, j.rescues, j.timeout,
              j.requested_by, j.started_at
), left_running AS (
    -- Of a job that was queued again by hand. Nobody holds a lease on it: its daemon, if it lives, learns that with its next
    -- heartbeat, and this attempt looks after what it left.
    UPDATE pgdumpd.backup_attempts AS a
    SET outcome = 'lost', ended_at = clock_timestamp(), error_step = 'lease', error_code = 'daemon_died',
        error = 'the job was queued again while this attempt ran'
    WHERE a.job_id = (SELECT c.id FROM claimed AS c) AND a.outcome = 'running'
    RETURNING a.lease_token
), attempt AS (
    INSERT INTO pgdumpd.backup_attempts (lease_token, job_id, attempt, worker_id, started_at)
    SELECT $4, c.id, c.attempt, $3, c.started_at FROM claimed AS c
    -- Always true, and known only once the other has ended: a job has one running attempt.
    WHERE (SELECT count(*) FROM left_running) >= 0
)
-- One row always: heads without a claim means that other transactions hold them.
SELECT
    EXISTS (SELECT FROM heads) AS found_heads,
    c.id,
    c.copy_of,
    c.copy_to,
    c.target,
    c.spec,
    c.attempt,
    c.max_attempts,
    c.rescues,
    extract(epoch FROM c.timeout)::double precision AS timeout_seconds,
    c.requested_by,
    c.started_at AS claimed_at,
    -- Of who asked for the backup.
    (SELECT b.trace_parent FROM pgdumpd.backup_jobs AS b WHERE b.id = c.copy_of) AS trace_parent,
    -- What earlier attempts left to look after. The statement's snapshot is older than this attempt's row.
    (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.started_at DESC), '[]')
     FROM (SELECT a.lease_token AS token, a.attempt, a.started_at, a.storage, a.storage_id, a.object_key, a.upload_id
           FROM pgdumpd.backup_attempts AS a
           WHERE a.job_id = c.id
           ORDER BY a.started_at DESC
           LIMIT 20) AS e) AS earlier
FROM (VALUES (1)) AS one
LEFT JOIN claimed AS c ON true

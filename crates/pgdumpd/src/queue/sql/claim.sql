-- Claims the best due backup of the given targets: the lowest priority number, then that of the role whose turn it is: the one that
-- was served longest ago at its target, then the earliest run_at. Copies have a priority that this does not look for
-- (claim_copy.sql does).
-- $1 targets, $2 spec versions, $3 worker, $4 lease token (random), $5 lease in seconds,
-- $6 how many jobs to look at for each target, priority and role (1, or more to get past locked rows), $7 the queue's id.
WITH RECURSIVE free AS MATERIALIZED (
    -- The daemon knows its targets, so each is walked by itself in the claim index. Walking the jobs in order instead would
    -- read every queued job of every busy target, each time.
    SELECT t.target
    FROM unnest($1::text[]) AS t (target)
    -- A busy target is left out. A scalar sub-select stays one index probe; NOT EXISTS would become an
    -- anti-join over the whole index, dead entries included.
    WHERE (SELECT r.id FROM pgdumpd.backup_jobs AS r
           WHERE r.state = 'running' AND r.kind = 'backup' AND r.target = t.target LIMIT 1) IS NULL
      -- Daemons that mean different things by one name leave it alone until they agree. Not correlated, so that it is
      -- asked once and hashed.
      AND t.target NOT IN (SELECT d.target FROM pgdumpd.target_differences AS d WHERE $3 IN (d.worker_id, d.other_id))
      -- The address may lead to another queue by now. Decided once, before any probe.
      AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $7)
), waiting (target, priority, requested_by, run_at) AS (
    -- From one priority and role to the next: one probe for each that has jobs queued there, however many, and one more for the
    -- target. Each asks for the next entry of the whole index, which is the first job of its role there, and takes it if it is of
    -- this target: with that given the order would be that of other indexes too, in which the planner would look long. Copies
    -- have priority 6.
    SELECT n.target, n.priority, n.requested_by, n.run_at
    FROM free AS f
    CROSS JOIN LATERAL (
        SELECT j.target, j.priority, j.requested_by, j.run_at
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'queued' AND (j.target, j.priority) >= (f.target, 1::smallint)
        ORDER BY j.target, j.priority, j.requested_by, j.run_at, j.id
        LIMIT 1
    ) AS n
    WHERE n.target = f.target AND n.priority <= 5
    UNION ALL
    SELECT n.target, n.priority, n.requested_by, n.run_at
    FROM waiting AS w
    CROSS JOIN LATERAL (
        SELECT j.target, j.priority, j.requested_by, j.run_at
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'queued' AND (j.target, j.priority, j.requested_by) > (w.target, w.priority, w.requested_by)
        ORDER BY j.target, j.priority, j.requested_by, j.run_at, j.id
        LIMIT 1
    ) AS n
    WHERE n.target = w.target AND n.priority <= 5
), heads AS MATERIALIZED (
    SELECT head.id, p.priority, head.run_at, head.served
    -- One priority after the other: where a better one has enough, the others are not looked at.
    FROM generate_series(1, 5) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT first.id, first.run_at,
               (SELECT s.served FROM pgdumpd.turns AS s
                WHERE s.target = w.target AND s.requested_by = w.requested_by) AS served
        FROM waiting AS w
        CROSS JOIN LATERAL (
            SELECT j.id, j.run_at
            FROM pgdumpd.backup_jobs AS j
            WHERE j.state = 'queued'
              -- The same as = and j.run_at <= now(), but in the order of this index alone. now(), not clock_timestamp(): only a
              -- stable function can be an index condition.
              AND (j.target, j.priority, j.requested_by) >= (w.target, w.priority, w.requested_by)
              AND (j.target, j.priority, j.requested_by, j.run_at) <= (w.target, w.priority, w.requested_by, now())
              AND j.spec_version = ANY ($2::smallint[])
              -- A job whose cancellation was asked for is ended by reap_cancelled.sql, not started.
              -- coalesce, because the planner takes a sub-select that IS NULL for so rare that it would rather sort
              -- all jobs of the target than walk the claim index.
              AND coalesce((SELECT false FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id), true)
            ORDER BY j.target, j.priority, j.requested_by, j.run_at, j.id
            LIMIT $6
        ) AS first
        -- Of whom not even the first is due none is.
        WHERE w.priority = p.priority AND w.run_at <= now()
        -- Who was never served comes before all others.
        ORDER BY served NULLS FIRST, first.run_at, first.id
        LIMIT 20 * $6
    ) AS head
    -- More are not needed to find one that nobody holds, and the planner would rather read the table than probe it for many.
    LIMIT 20 * $6
), best AS MATERIALIZED (
    SELECT j.id
    FROM heads AS h
    JOIN pgdumpd.backup_jobs AS j ON j.id = h.id
    -- Said again, because the row that is locked may be newer than the one that was found.
    WHERE j.state = 'queued' AND j.run_at <= now()
    ORDER BY h.priority, h.served NULLS FIRST, h.run_at, h.id
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
        tables_done = NULL, tables_total = NULL, rows_done = NULL, rows_expected = NULL, bytes_dumped = NULL, bytes_stored = NULL,
        estimated_end = NULL, progress_at = clock_timestamp(),
        error_step = NULL, error_code = NULL, error = NULL, error_hint = NULL,
        warnings = '[]', warnings_total = 0
    FROM best
    WHERE j.id = best.id
    RETURNING j.id, j.target, j.spec, j.attempt, j.max_attempts, j.rescues, j.timeout,
              j.requested_by, j.started_at, j.trace_parent
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
    c.target,
    c.spec,
    c.attempt,
    c.max_attempts,
    c.rescues,
    extract(epoch FROM c.timeout)::double precision AS timeout_seconds,
    c.requested_by,
    c.started_at AS claimed_at,
    c.trace_parent,
    -- What earlier attempts left to look after. The statement's snapshot is older than this attempt's row.
    (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.started_at DESC), '[]')
     FROM (SELECT a.lease_token AS token, a.attempt, a.started_at, a.storage, a.storage_id, a.object_key, a.upload_id
           FROM pgdumpd.backup_attempts AS a
           WHERE a.job_id = c.id
           ORDER BY a.started_at DESC
           LIMIT 20) AS e) AS earlier
FROM (VALUES (1)) AS one
LEFT JOIN claimed AS c ON true

-- A queue with many rows: what is asked of it costs what is shown, not what is there.

-- What the views ask for: newest first, of all, of one state, of one target, of one role; and what is open. None names a
-- column that a heartbeat writes, so every heartbeat remains a HOT update.
CREATE INDEX backup_jobs_created ON pgdumpd.backup_jobs (created_at, id);
CREATE INDEX backup_jobs_target ON pgdumpd.backup_jobs (target, created_at, id);
CREATE INDEX backup_jobs_requested_by ON pgdumpd.backup_jobs (requested_by, created_at, id);
-- Where created_at is the first column, the rows lie in about that order, so that the planner prefers such an index to sorting.
CREATE INDEX backup_jobs_open ON pgdumpd.backup_jobs (created_at, id) INCLUDE (state) WHERE state IN ('queued', 'running');
CREATE INDEX backup_jobs_open_requested_by ON pgdumpd.backup_jobs (requested_by, created_at, id) WHERE state IN ('queued', 'running');
CREATE INDEX backup_jobs_unsuccessful ON pgdumpd.backup_jobs (created_at, id) WHERE state IN ('failed', 'cancelled');
CREATE INDEX backup_jobs_all_copies ON pgdumpd.backup_jobs (created_at, id) WHERE kind = 'copy';
CREATE INDEX backup_jobs_copies_requested_by ON pgdumpd.backup_jobs (requested_by, created_at, id) WHERE kind = 'copy';
CREATE INDEX backup_jobs_wanted_copies ON pgdumpd.backup_jobs (created_at, id)
    WHERE kind = 'copy' AND state IN ('queued', 'running', 'failed');

-- The jobs that the session's user may see, newest first: of the views below the only one that hides rows. A security barrier keeps
-- ORDER BY and LIMIT of a query from its inside, so the order is given here, where an index has it; and what is
-- computed of a row is outside of the barrier, so that it is computed of those rows alone that a LIMIT leaves, and of
-- none where no query asks for it.
CREATE VIEW pgdumpd.visible_jobs WITH (security_barrier) AS
SELECT j.*
FROM (
    -- Two branches, of which one is always empty: of an OR no index could be used. Each has its order, for the same reason.
    --
    -- Every row lies between the two infinities. The planner does not know that, and so takes the rows for few: it then
    -- follows an index in the order above, instead of reading and sorting a whole target for a LIMIT that it cannot see from here.
    (SELECT a.* FROM pgdumpd.backup_jobs AS a
     WHERE (SELECT pgdumpd.sees_all_jobs())
       AND a.created_at BETWEEN (SELECT timestamptz '-infinity') AND (SELECT timestamptz 'infinity')
     ORDER BY a.created_at DESC, a.id DESC)
    UNION ALL
    (SELECT o.* FROM pgdumpd.backup_jobs AS o
     -- session_user is a name, whose collation is not that of the index.
     WHERE o.requested_by = session_user::text COLLATE "default" AND NOT (SELECT pgdumpd.sees_all_jobs())
       AND o.created_at BETWEEN (SELECT timestamptz '-infinity') AND (SELECT timestamptz 'infinity')
     ORDER BY o.created_at DESC, o.id DESC)
) AS j
ORDER BY j.created_at DESC, j.id DESC;
COMMENT ON VIEW pgdumpd.visible_jobs IS 'The rows of backup_jobs that the session''s user may see, newest first.';

-- The same as in migration 8, by a clock that does not move within a statement: what is volatile is computed of every row
-- before a LIMIT. Each two daemons that are alive and will claim, and each target of both about which they differ.
CREATE OR REPLACE VIEW pgdumpd.target_differences WITH (security_barrier) AS
WITH live AS MATERIALIZED (
    -- Settings of a thousand targets are large: each daemon's are read once, not once for each other daemon.
    SELECT d.id, d.host, d.pid, d.target_settings, jsonb_hash_extended(d.target_settings, 0) AS hash
    FROM pgdumpd.workers AS d
    WHERE d.last_seen_at > statement_timestamp() - d.lease AND NOT d.stopping
)
SELECT
    mine.target,
    array_agg(a.setting ORDER BY a.setting) AS settings,
    w.id AS worker_id,
    w.host,
    w.pid,
    o.id AS other_id,
    o.host AS other_host,
    o.pid AS other_pid
FROM live AS w
-- Each two once.
JOIN live AS o ON o.id > w.id AND o.hash <> w.hash
CROSS JOIN LATERAL (
    -- Each daemon's settings are unfolded once and hashed: there may be a thousand targets. OFFSET keeps it so.
    SELECT own.target, own.settings, theirs.settings AS other_settings
    FROM jsonb_each(w.target_settings) AS own (target, settings)
    JOIN jsonb_each(o.target_settings) AS theirs (target, settings)
        ON theirs.target = own.target AND theirs.settings <> own.settings
    OFFSET 0
) AS mine
CROSS JOIN LATERAL jsonb_each(mine.settings) AS a (setting, value)
-- What only one of them knows is no difference.
JOIN LATERAL jsonb_each(mine.other_settings) AS b (setting, value) ON b.setting = a.setting AND b.value <> a.value
GROUP BY mine.target, w.id, w.host, w.pid, o.id, o.host, o.pid;

-- Which storages living daemons that make copies can read, and to which others they copy: by the id, or by the name alone
-- where a daemon has not seen the id yet (NULL).
CREATE VIEW pgdumpd.copy_sources AS
SELECT t.name AS copy_to, s.name AS storage, s.id AS storage_id
FROM pgdumpd.workers AS w
CROSS JOIN unnest(w.storages) AS t (name)
CROSS JOIN unnest(w.storages, w.storage_ids) AS s (name, id)
WHERE w.max_copies > 0 AND w.last_seen_at > statement_timestamp() - w.lease;

-- The same as in migration 9, but for what waits: no barrier around it, each column by itself, and queue_position up to 20.
CREATE OR REPLACE VIEW pgdumpd.backup_status AS
SELECT
    j.id,
    j.target,
    j.spec ->> 'label' AS label,
    CASE j.state
        WHEN 'queued' THEN 'in_progress'
        WHEN 'running' THEN 'in_progress'
        WHEN 'succeeded' THEN 'completed'
        ELSE j.state
    END AS status,
    j.state,
    j.attempt,
    j.max_attempts,
    j.rescues,
    j.priority,
    j.phase,
    j.progress,
    j.message,
    j.current_table,
    j.tables_done,
    j.tables_total,
    j.rows_done,
    j.bytes_dumped,
    j.bytes_stored,
    j.estimated_end,
    -- No further than 20, so that it costs the same however many wait. Each part is a probe of an index, in its order; now(),
    -- not statement_timestamp(), because only a stable function can be an index condition.
    CASE WHEN j.state = 'queued' AND j.run_at <= statement_timestamp() THEN
        CASE j.kind
            WHEN 'copy' THEN (
                SELECT count(*) + 1
                FROM (
                    SELECT
                    FROM pgdumpd.backup_jobs AS ahead
                    WHERE ahead.state = 'queued' AND ahead.kind = 'copy' AND ahead.copy_to = j.copy_to
                      AND (ahead.run_at, ahead.id) < (j.run_at, j.id)
                    LIMIT 19
                ) AS some_ahead
            )
            ELSE (
                SELECT count(*) + 1
                FROM (
                    SELECT
                    FROM pgdumpd.backup_jobs AS ahead
                    WHERE ahead.state = 'queued' AND ahead.target = j.target AND ahead.priority = j.priority
                      AND (ahead.run_at, ahead.id) < (j.run_at, j.id)
                    UNION ALL
                    SELECT
                    FROM generate_series(1, j.priority - 1) AS p (priority)
                    CROSS JOIN LATERAL (
                        SELECT
                        FROM pgdumpd.backup_jobs AS ahead
                        WHERE ahead.state = 'queued' AND ahead.target = j.target AND ahead.priority = p.priority
                          AND ahead.run_at <= statement_timestamp()
                        LIMIT 19
                    ) AS better
                    LIMIT 19
                ) AS some_ahead
            )
        END
    END AS queue_position,
    CASE WHEN j.state = 'queued' THEN
        CASE
            -- What is the same for all rows is asked once for all of them, and hashed.
            -- What keeps a copy waiting are storages, never its target: the database is not needed for it.
            WHEN j.kind = 'copy' AND j.copy_to NOT IN (SELECT r.copy_to FROM pgdumpd.copy_sources AS r)
                THEN 'no daemon makes copies to storage "' || j.copy_to || '"'
            WHEN j.kind = 'copy' AND NOT (SELECT coalesce(bool_or(
                        (j.copy_to, b.storage_id) IN (SELECT r.copy_to, r.storage_id FROM pgdumpd.copy_sources AS r WHERE r.storage_id IS NOT NULL)
                        OR (j.copy_to, b.storage) IN (SELECT r.copy_to, r.storage FROM pgdumpd.copy_sources AS r WHERE r.storage_id IS NULL)), true)
                    FROM pgdumpd.backup_copies AS b
                    WHERE b.job_id = j.copy_of AND b.state = 'stored')
                THEN 'no daemon that makes copies to storage "' || j.copy_to || '" has a storage that holds the backup'
            WHEN j.kind = 'backup' AND j.target NOT IN (
                    SELECT t.target
                    FROM pgdumpd.workers AS w
                    CROSS JOIN unnest(w.targets) AS t (target)
                    WHERE w.last_seen_at > statement_timestamp() - w.lease)
                THEN 'no daemon serves target "' || j.target || '"'
            WHEN j.kind = 'backup' AND (j.target, j.spec_version) NOT IN (
                    SELECT t.target, v.spec_version
                    FROM pgdumpd.workers AS w
                    CROSS JOIN unnest(w.targets) AS t (target)
                    CROSS JOIN unnest(w.spec_versions) AS v (spec_version)
                    WHERE w.last_seen_at > statement_timestamp() - w.lease)
                THEN 'no daemon of this target understands spec version ' || j.spec_version::text
            WHEN j.run_at > statement_timestamp() AND j.attempt > 0
                THEN 'attempt ' || (j.attempt + 1)::text || ' of ' || j.max_attempts::text || ' is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            WHEN j.run_at > statement_timestamp()
                THEN 'is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            WHEN j.kind = 'backup' THEN coalesce(
                -- The texts of all targets that daemons differ about, made once.
                (
                    SELECT jsonb_object_agg(s.target, s.said)
                    FROM (
                        SELECT d.target,
                               'daemons differ about target "' || d.target || '": '
                               || string_agg(DISTINCT format('%s (pid %s) and %s (pid %s) in %s',
                                                             d.host, d.pid, d.other_host, d.other_pid,
                                                             array_to_string(d.settings, ', ')), '; ') AS said
                        FROM pgdumpd.target_differences AS d
                        GROUP BY d.target
                    ) AS s
                ) ->> j.target,
                CASE WHEN j.target IN (SELECT r.target FROM pgdumpd.backup_jobs AS r WHERE r.state = 'running' AND r.kind = 'backup')
                     THEN 'another backup of target "' || j.target || '" is running'
                END,
                'waits for a free daemon')
            ELSE 'waits for a free daemon'
        END
    END AS waits_because,
    -- Of a running job so far, of an ended one in all.
    extract(epoch FROM coalesce(j.finished_at, statement_timestamp()) - j.started_at)::double precision AS elapsed_seconds,
    CASE WHEN j.started_at IS NOT NULL THEN
        CASE WHEN coalesce(j.finished_at, statement_timestamp()) - j.started_at >= interval '1 hour'
             THEN floor(extract(epoch FROM coalesce(j.finished_at, statement_timestamp()) - j.started_at) / 3600)::text || to_char(coalesce(j.finished_at, statement_timestamp()) - j.started_at, ':MI:SS')
             ELSE to_char(coalesce(j.finished_at, statement_timestamp()) - j.started_at, 'FMMI:SS')
        END
    END AS elapsed,
    greatest(j.created_at, j.started_at, j.progress_at, j.finished_at) AS last_update,
    (SELECT c.requested_at FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id) AS cancel_requested_at,
    -- Of the backup, also where the row is one of its copies'.
    (
        SELECT count(*)
        FROM pgdumpd.backup_copies AS b
        WHERE b.job_id = coalesce(j.copy_of, j.id) AND b.state = 'stored'
    ) AS copies_stored,
    -- What is still to come counts, and what failed: it was wanted. What was cancelled does not.
    greatest(1,
        (SELECT count(*) FROM pgdumpd.backup_copies AS b WHERE b.job_id = coalesce(j.copy_of, j.id))
        + (SELECT count(DISTINCT k.copy_to)
           FROM pgdumpd.backup_jobs AS k
           WHERE k.copy_of = coalesce(j.copy_of, j.id) AND k.state IN ('queued', 'running', 'failed')
             AND NOT EXISTS (SELECT FROM pgdumpd.backup_copies AS b WHERE b.job_id = k.copy_of AND b.storage = k.copy_to))) AS copies_total,
    (
        SELECT count(*)
        FROM pgdumpd.backup_copies AS b
        WHERE b.job_id = coalesce(j.copy_of, j.id) AND b.state = 'stored'
    )::text || ' of ' || greatest(1,
        (SELECT count(*) FROM pgdumpd.backup_copies AS b WHERE b.job_id = coalesce(j.copy_of, j.id))
        + (SELECT count(DISTINCT k.copy_to)
           FROM pgdumpd.backup_jobs AS k
           WHERE k.copy_of = coalesce(j.copy_of, j.id) AND k.state IN ('queued', 'running', 'failed')
             AND NOT EXISTS (SELECT FROM pgdumpd.backup_copies AS b WHERE b.job_id = k.copy_of AND b.storage = k.copy_to)))::text AS copies,
    j.warnings,
    j.warnings_total,
    j.error_step,
    j.error_code,
    j.error,
    j.error_hint,
    j.size_bytes,
    j.sha256,
    j.requested_by,
    j.idempotency_key,
    j.created_at,
    j.run_at,
    j.started_at,
    j.finished_at,
    j.kind,
    j.copy_of,
    j.copy_to,
    j.worker_id,
    j.lease_expires_at
FROM pgdumpd.visible_jobs AS j;

-- No table of its own: joined outside of the barrier, it would show all its rows to a condition of a query's own.
CREATE OR REPLACE VIEW pgdumpd.backup_monitoring AS
SELECT
    s.id,
    s.target,
    s.state,
    s.phase,
    s.progress,
    s.queue_position,
    s.waits_because,
    s.requested_by,
    coalesce(s.started_at, greatest(s.created_at, s.run_at)) AS since,
    s.last_update,
    (SELECT w.id FROM pgdumpd.workers AS w WHERE w.id = s.worker_id) AS worker_id,
    (SELECT w.host FROM pgdumpd.workers AS w WHERE w.id = s.worker_id) AS worker_host,
    (SELECT w.pid FROM pgdumpd.workers AS w WHERE w.id = s.worker_id) AS worker_pid,
    (SELECT w.last_seen_at FROM pgdumpd.workers AS w WHERE w.id = s.worker_id) AS worker_last_seen_at,
    s.lease_expires_at,
    -- True where no living daemon serves the target of a queued backup; of a copy, the storage that it is to go to, or one
    -- that holds the backup. Two lists, each made once, if at all: `WHERE unserved` then finds its rows by indexes.
    s.state = 'queued' AND (
        s.kind = 'backup' AND s.target = ANY ((
            -- Walks from target to target in the claim index, not over the jobs.
            WITH RECURSIVE waiting (target) AS (
                (SELECT q.target FROM pgdumpd.backup_jobs AS q WHERE q.state = 'queued' ORDER BY q.target LIMIT 1)
                UNION ALL
                SELECT (SELECT q.target FROM pgdumpd.backup_jobs AS q
                        WHERE q.state = 'queued' AND q.target > p.target ORDER BY q.target LIMIT 1)
                FROM waiting AS p
                WHERE p.target IS NOT NULL
            )
            SELECT coalesce(array_agg(p.target), '{}')
            FROM waiting AS p
            WHERE p.target NOT IN (
                SELECT t.target
                FROM pgdumpd.workers AS l
                CROSS JOIN unnest(l.targets) AS t (target)
                WHERE l.last_seen_at > statement_timestamp() - l.lease)
        )::text[])
        OR s.kind = 'copy' AND s.id = ANY ((
            SELECT coalesce(array_agg(k.id), '{}')
            FROM pgdumpd.backup_jobs AS k
            WHERE k.state = 'queued' AND k.kind = 'copy'
              -- Every one. The planner takes them for few then, and reads them by the index that has nothing else.
              AND k.run_at BETWEEN (SELECT timestamptz '-infinity') AND (SELECT timestamptz 'infinity')
              AND (k.copy_to NOT IN (SELECT r.copy_to FROM pgdumpd.copy_sources AS r)
                   OR NOT coalesce(
                       (SELECT true
                        FROM pgdumpd.backup_copies AS b
                        WHERE b.job_id = k.copy_of AND b.state = 'stored'
                          AND ((k.copy_to, b.storage_id) IN (SELECT r.copy_to, r.storage_id FROM pgdumpd.copy_sources AS r WHERE r.storage_id IS NOT NULL)
                               OR (k.copy_to, b.storage) IN (SELECT r.copy_to, r.storage FROM pgdumpd.copy_sources AS r WHERE r.storage_id IS NULL))
                        LIMIT 1),
                       -- What no storage holds any more is anybody's, to be ended.
                       (SELECT false FROM pgdumpd.backup_copies AS b WHERE b.job_id = k.copy_of AND b.state = 'stored' LIMIT 1),
                       true))
        )::uuid[])
    ) AS unserved,
    s.kind,
    s.copy_of,
    s.copy_to,
    s.copies
FROM pgdumpd.backup_status AS s
WHERE s.state IN ('queued', 'running');

-- The last success of each target, found without a look at the others.
CREATE INDEX backup_jobs_succeeded_of ON pgdumpd.backup_jobs (requested_by, target, finished_at)
    WHERE state = 'succeeded' AND kind = 'backup';
CREATE VIEW pgdumpd.target_status WITH (security_barrier) AS
WITH RECURSIVE every (target) AS (
    -- Walks from target to target in the index.
    (
        SELECT j.target
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'succeeded' AND j.kind = 'backup' AND (SELECT pgdumpd.sees_all_jobs())
        ORDER BY j.target
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT j.target
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.target > e.target
        ORDER BY j.target
        LIMIT 1
    )
    FROM every AS e
    WHERE e.target IS NOT NULL
), own (target) AS (
    (
        SELECT j.target
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.requested_by = session_user::text COLLATE "default"
          AND NOT (SELECT pgdumpd.sees_all_jobs())
        ORDER BY j.target
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT j.target
        FROM pgdumpd.backup_jobs AS j
        WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.requested_by = session_user::text COLLATE "default" AND j.target > o.target
        ORDER BY j.target
        LIMIT 1
    )
    FROM own AS o
    WHERE o.target IS NOT NULL
)
SELECT e.target, last.id AS last_success_id, last.finished_at AS last_success_at
FROM every AS e
CROSS JOIN LATERAL (
    SELECT j.id, j.finished_at
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.target = e.target
    ORDER BY j.finished_at DESC
    LIMIT 1
) AS last
UNION ALL
SELECT o.target, last.id, last.finished_at
FROM own AS o
CROSS JOIN LATERAL (
    SELECT j.id, j.finished_at
    FROM pgdumpd.backup_jobs AS j
    WHERE j.state = 'succeeded' AND j.kind = 'backup' AND j.requested_by = session_user::text COLLATE "default" AND j.target = o.target
    ORDER BY j.finished_at DESC
    LIMIT 1
) AS last;
COMMENT ON VIEW pgdumpd.target_status IS 'The last success of each target, of the jobs that the session''s user may see.';

-- Whoever is granted the other views is granted this one; who sees all jobs, all of them.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT v.name, r.rolname
        FROM (VALUES ('pgdumpd.backup_status'::regclass, 'target_status'), ('pgdumpd.workers', 'visible_jobs'),
                     ('pgdumpd.workers', 'copy_sources')) AS v (like_this, name)
        JOIN pg_class AS c ON c.oid = v.like_this
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE a.grantee <> c.relowner AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON pgdumpd.%I TO %I', held.name, held.rolname);
    END LOOP;
END
$$;

-- The same as in migration 11, and the view above.
CREATE OR REPLACE FUNCTION pgdumpd.add_producer_rights(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT INSERT (id, kind, target, spec, spec_version, priority, run_at, idempotency_key, max_attempts, timeout) ON pgdumpd.backup_jobs TO %I', grantee);
    -- INSERT … RETURNING id and ON CONFLICT (target, idempotency_key) need these; row security limits them to own rows.
    EXECUTE format('GRANT SELECT (id, target, idempotency_key) ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT SELECT ON pgdumpd.backup_status, pgdumpd.backup_monitoring, pgdumpd.daemon_status, pgdumpd.target_status TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.sees_all_jobs() TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.cancel_backup(uuid) TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid) TO %I', grantee);
END
$$;

-- What a storage holds of one target, for keep_last: the target is the job's. Written here, not by daemons, so that those of
-- before this migration need not know of it.
ALTER TABLE pgdumpd.backup_copies ADD COLUMN target text;
UPDATE pgdumpd.backup_copies AS c SET target = j.target FROM pgdumpd.backup_jobs AS j WHERE j.id = c.job_id;
CREATE FUNCTION pgdumpd.complete_backup_copy() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    NEW.target := (SELECT j.target FROM pgdumpd.backup_jobs AS j WHERE j.id = NEW.job_id);
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.complete_backup_copy() FROM PUBLIC;
CREATE TRIGGER complete_backup_copy BEFORE INSERT ON pgdumpd.backup_copies
    FOR EACH ROW EXECUTE FUNCTION pgdumpd.complete_backup_copy();
-- Which storages there are, by each name that they had, and how much they hold.
CREATE INDEX backup_copies_storages ON pgdumpd.backup_copies (storage_id, storage, stored_at);
CREATE INDEX backup_copies_held ON pgdumpd.backup_copies (storage_id, storage) WHERE state = 'stored';
CREATE INDEX backup_attempts_storages ON pgdumpd.backup_attempts (storage_id, storage, started_at) WHERE storage IS NOT NULL;
-- Whether a key is noted, in whatever storage: fsck asks it of each object.
CREATE INDEX backup_copies_key ON pgdumpd.backup_copies (object_key) WHERE state <> 'deleted';
CREATE INDEX backup_copies_kept ON pgdumpd.backup_copies (target, storage_id) WHERE state <> 'deleted';

-- Which requests to cancel are still to be obeyed: rows stay when their jobs have ended.
ALTER TABLE pgdumpd.backup_cancels ADD COLUMN is_open boolean NOT NULL DEFAULT true;
UPDATE pgdumpd.backup_cancels AS c SET is_open = false
FROM pgdumpd.backup_jobs AS j WHERE j.id = c.job_id AND j.finished_at IS NOT NULL;
CREATE INDEX backup_cancels_open ON pgdumpd.backup_cancels (job_id) WHERE is_open;
CREATE FUNCTION pgdumpd.close_cancel() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    -- A request that is not committed yet is not seen, and not waited for. It stays open, which is harmless.
    UPDATE pgdumpd.backup_cancels AS c SET is_open = false WHERE c.job_id = NEW.id AND c.is_open;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.close_cancel() FROM PUBLIC;
CREATE TRIGGER close_cancel AFTER UPDATE OF state ON pgdumpd.backup_jobs
    FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL) EXECUTE FUNCTION pgdumpd.close_cancel();

-- An attempt that ended in good order before it noted where it stores left nothing to clear up, and is never looked at: it does
-- not belong here, where daemons look with each heartbeat.
DROP INDEX pgdumpd.backup_attempts_uncleared;
CREATE INDEX backup_attempts_uncleared ON pgdumpd.backup_attempts (started_at)
    WHERE cleared_at IS NULL AND (outcome = 'lost' OR outcome IN ('failed', 'cancelled', 'released') AND object_key IS NOT NULL);

-- The same as in migration 2, and a version that nobody knows is refused: no daemon would take the job, but every claim
-- would walk past it. A migration that brings a version writes its number here.
CREATE OR REPLACE FUNCTION pgdumpd.check_spec() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    entry record;
    item  jsonb;
BEGIN
    IF NEW.spec_version > 1 THEN
        RAISE EXCEPTION 'spec_version % is not known', NEW.spec_version
            USING ERRCODE = 'check_violation', HINT = 'This queue knows spec_version 1. Run pgdumpd migrate of the newer pgdumpd first.';
    END IF;
    IF NEW.spec_version <> 1 OR jsonb_typeof(NEW.spec) <> 'object' THEN
        RETURN NEW;
    END IF;
    FOR entry IN SELECT * FROM jsonb_each(NEW.spec) LOOP
        IF entry.key IN ('schemas', 'exclude_schemas', 'tables', 'exclude_tables', 'exclude_table_data') THEN
            IF jsonb_typeof(entry.value) <> 'array' THEN
                RAISE EXCEPTION 'spec key "%" must be an array of patterns, not %', entry.key, jsonb_typeof(entry.value)
                    USING ERRCODE = 'check_violation', HINT = format('Write {"%s": ["name"]}.', entry.key);
            END IF;
            FOR item IN SELECT * FROM jsonb_array_elements(entry.value) LOOP
                IF jsonb_typeof(item) <> 'string' OR item #>> '{}' = '' OR octet_length(item #>> '{}') > 1000 THEN
                    RAISE EXCEPTION 'spec key "%" has an item that is no pattern of 1 to 1000 bytes: %', entry.key, left(item::text, 100)
                        USING ERRCODE = 'check_violation', HINT = 'Each item is a pattern as pg_dump takes it, such as "public" or "public.orders_*".';
                END IF;
            END LOOP;
        ELSIF entry.key = 'label' THEN
            IF jsonb_typeof(entry.value) <> 'string' OR octet_length(entry.value #>> '{}') > 200 THEN
                RAISE EXCEPTION 'spec key "label" must be a string of at most 200 bytes'
                    USING ERRCODE = 'check_violation', HINT = 'The label is kept in the manifest and shown in lists.';
            END IF;
        ELSE
            RAISE EXCEPTION 'spec has an unknown key "%"', entry.key
                USING ERRCODE = 'check_violation',
                      HINT = 'Known keys: schemas, exclude_schemas, tables, exclude_tables, exclude_table_data, label.';
        END IF;
    END LOOP;
    RETURN NEW;
END
$$;

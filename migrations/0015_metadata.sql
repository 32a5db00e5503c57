-- What an asker wants to find again with its job, what a page about backups shows, and which targets there are to choose from.

-- The asker's own: nobody else reads it. A value that is the same for every row costs no rewrite of the table.
ALTER TABLE pgdumpd.backup_jobs
    ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}',
    -- By the estimates of the target's server, so an end only for a bar.
    ADD COLUMN rows_expected bigint,
    ADD CONSTRAINT backup_jobs_metadata_is_an_object_of_at_most_16_kb
        CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 16384);
COMMENT ON COLUMN pgdumpd.backup_jobs.metadata IS
    'What the asker wants to find again with the job, such as its own user''s id; nothing reads it, and no manifest has it.';

-- For who may ask for backups: which targets a daemon that is alive serves.
CREATE VIEW pgdumpd.served_targets WITH (security_barrier) AS
SELECT t.target, count(*) AS daemons
FROM pgdumpd.workers AS w
CROSS JOIN unnest(w.targets) AS t (target)
WHERE w.last_seen_at > statement_timestamp() - w.lease
GROUP BY t.target;
COMMENT ON VIEW pgdumpd.served_targets IS 'The targets that daemons which are alive serve.';

-- The same as in migration 12, for the table's columns of today.
CREATE OR REPLACE VIEW pgdumpd.visible_jobs WITH (security_barrier) AS
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

-- The same as in migration 13, and what stands at its end.
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
                    (SELECT
                    FROM pgdumpd.backup_jobs AS ahead
                    WHERE ahead.state = 'queued'
                      AND (ahead.target, ahead.priority, ahead.requested_by) >= (j.target, j.priority, j.requested_by)
                      AND (ahead.target, ahead.priority, ahead.requested_by, ahead.run_at, ahead.id)
                          < (j.target, j.priority, j.requested_by, j.run_at, j.id)
                    ORDER BY ahead.target, ahead.priority, ahead.requested_by, ahead.run_at, ahead.id
                    LIMIT 19)
                    UNION ALL
                    SELECT
                    FROM generate_series(1, j.priority - 1) AS p (priority)
                    CROSS JOIN LATERAL (
                        SELECT
                        FROM pgdumpd.backup_jobs AS ahead
                        WHERE ahead.state = 'queued'
                          AND (ahead.target, ahead.priority, ahead.requested_by) >= (j.target, p.priority, j.requested_by)
                          AND (ahead.target, ahead.priority, ahead.requested_by, ahead.run_at)
                              <= (j.target, p.priority, j.requested_by, statement_timestamp())
                        ORDER BY ahead.target, ahead.priority, ahead.requested_by, ahead.run_at, ahead.id
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
    j.lease_expires_at,
    j.spec,
    j.metadata,
    j.rows_expected,
    (SELECT c.requested_by FROM pgdumpd.backup_cancels AS c WHERE c.job_id = j.id) AS cancel_requested_by,
    (SELECT w.host FROM pgdumpd.workers AS w WHERE w.id = j.worker_id) AS worker_host,
    -- Of the backup, also where the row is one of its copies'.
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'storage', b.storage, 'object_key', b.object_key, 'size_bytes', b.size_bytes,
                   'stored_at', b.stored_at, 'last_proved_at', b.last_proved_at) ORDER BY b.stored_at, b.storage), '[]')
        FROM pgdumpd.backup_copies AS b
        WHERE b.job_id = coalesce(j.copy_of, j.id) AND b.state = 'stored'
    ) AS stored_in,
    -- The first three reasons of waits_because: no daemon that is alive can do it.
    j.state = 'queued' AND CASE j.kind
        WHEN 'copy' THEN
            j.copy_to NOT IN (SELECT r.copy_to FROM pgdumpd.copy_sources AS r)
            OR NOT (SELECT coalesce(bool_or(
                        (j.copy_to, b.storage_id) IN (SELECT r.copy_to, r.storage_id FROM pgdumpd.copy_sources AS r WHERE r.storage_id IS NOT NULL)
                        OR (j.copy_to, b.storage) IN (SELECT r.copy_to, r.storage FROM pgdumpd.copy_sources AS r WHERE r.storage_id IS NULL)), true)
                    FROM pgdumpd.backup_copies AS b
                    WHERE b.job_id = j.copy_of AND b.state = 'stored')
        ELSE j.target NOT IN (SELECT t.target FROM pgdumpd.served_targets AS t)
    END AS unserved
FROM pgdumpd.visible_jobs AS j;

-- The same as in migration 12, and metadata.
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
    s.copies,
    s.metadata
FROM pgdumpd.backup_status AS s
WHERE s.state IN ('queued', 'running');

-- The same as in migration 13, with metadata.
CREATE FUNCTION pgdumpd.enqueue_backup(
    target          text,
    spec            jsonb       DEFAULT '{}',
    priority        integer     DEFAULT 3,
    run_at          timestamptz DEFAULT now(),
    idempotency_key text        DEFAULT NULL,
    max_attempts    integer     DEFAULT 3,
    timeout         interval    DEFAULT NULL,
    id              uuid        DEFAULT NULL,
    metadata        jsonb       DEFAULT '{}'
) RETURNS TABLE (job_id uuid, is_new boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
BEGIN
    IF priority NOT BETWEEN 1 AND 5 THEN
        RAISE EXCEPTION 'priority % is out of range', priority
            USING ERRCODE = 'check_violation', HINT = 'Priorities are 1 (first) to 5 (last); 3 is the default.';
    END IF;
    IF max_attempts NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'max_attempts % is out of range', max_attempts
            USING ERRCODE = 'check_violation', HINT = 'max_attempts is 1 to 100; 3 is the default.';
    END IF;
    IF run_at < '2000-01-01 00:00:00+00' OR run_at >= '10000-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'run_at % is out of range', run_at
            USING ERRCODE = 'check_violation', HINT = 'run_at is in the years 2000 to 9999.';
    END IF;
    INSERT INTO pgdumpd.backup_jobs AS j (id, target, spec, priority, run_at, idempotency_key, max_attempts, timeout, metadata)
    VALUES (coalesce(id, gen_random_uuid()), target, coalesce(spec, '{}'), coalesce(priority, 3), coalesce(run_at, now()),
            idempotency_key, coalesce(max_attempts, 3), timeout, coalesce(metadata, '{}'))
    ON CONFLICT DO NOTHING
    RETURNING j.id INTO job_id;
    IF FOUND THEN
        is_new := true;
        RETURN NEXT;
        RETURN;
    END IF;
    -- A new statement has a new snapshot: it sees what the INSERT met. (Under REPEATABLE READ the INSERT
    -- itself has raised a serialization failure where this could not see it.)
    SELECT j.id INTO job_id
    FROM pgdumpd.backup_jobs AS j
    WHERE j.requested_by = session_user::text COLLATE "default"
      AND j.target = enqueue_backup.target AND j.idempotency_key = enqueue_backup.idempotency_key;
    IF NOT FOUND THEN
        SELECT j.id INTO job_id
        FROM pgdumpd.backup_jobs AS j
        WHERE j.id = enqueue_backup.id AND j.target = enqueue_backup.target AND j.requested_by = session_user;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a backup job with the id % exists already', id
            USING ERRCODE = 'unique_violation', HINT = 'Leave the id out, or choose a new random one.';
    END IF;
    is_new := false;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb) FROM PUBLIC;

-- The same as in migration 13, with metadata, and the view of targets.
CREATE OR REPLACE FUNCTION pgdumpd.add_producer_rights(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT INSERT (id, kind, target, spec, spec_version, priority, run_at, idempotency_key, max_attempts, timeout, metadata) ON pgdumpd.backup_jobs TO %I', grantee);
    -- INSERT … RETURNING id and ON CONFLICT (requested_by, target, idempotency_key) need these; row security limits them to own rows.
    EXECUTE format('GRANT SELECT (id, target, idempotency_key, requested_by) ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT SELECT ON pgdumpd.backup_status, pgdumpd.backup_monitoring, pgdumpd.daemon_status, pgdumpd.target_status, pgdumpd.served_targets TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.sees_all_jobs() TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.cancel_backup(uuid) TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb) TO %I', grantee);
END
$$;

-- Whoever may call the function of before may call this one; what may be written and read of the rest follows the same roles.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT DISTINCT r.rolname
        FROM pg_proc AS p
        CROSS JOIN LATERAL aclexplode(p.proacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE p.oid = 'pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid)'::regprocedure
          AND a.grantee <> p.proowner AND a.privilege_type = 'EXECUTE'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb) TO %I', held.rolname);
    END LOOP;
    DROP FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid);
    FOR held IN
        SELECT r.rolname, c.attname = 'spec' AS asks
        FROM pg_attribute AS c
        CROSS JOIN LATERAL aclexplode(c.attacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.attrelid = 'pgdumpd.backup_jobs'::regclass
          AND (c.attname, a.privilege_type) IN (('spec', 'INSERT'), ('rows_done', 'UPDATE'))
    LOOP
        IF held.asks THEN
            EXECUTE format('GRANT INSERT (metadata) ON pgdumpd.backup_jobs TO %I', held.rolname);
        ELSE
            EXECUTE format('GRANT UPDATE (rows_expected) ON pgdumpd.backup_jobs TO %I', held.rolname);
        END IF;
    END LOOP;
    FOR held IN
        SELECT r.rolname
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.oid = 'pgdumpd.backup_status'::regclass AND a.grantee <> c.relowner AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON pgdumpd.served_targets TO %I', held.rolname);
    END LOOP;
END
$$;

-- The same as in migration 11, and rows_expected.
CREATE OR REPLACE FUNCTION pgdumpd.grant_daemon(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.take_rights(grantee, '{readers_see_all_rows,daemons_write_all_rows}');
    PERFORM pgdumpd.add_operator_rights(grantee);
    EXECUTE format('GRANT UPDATE (state, run_at, attempt, rescues, lease_token, worker_id, lease_expires_at, started_at, finished_at,
                                  phase, progress, message, current_table, tables_done, tables_total, rows_done, rows_expected, bytes_dumped,
                                  bytes_stored, estimated_end, progress_at, error_step, error_code, error, error_hint,
                                  warnings, warnings_total, size_bytes, sha256)
                    ON pgdumpd.backup_jobs TO %I', grantee);
    -- Whoever may write these two columns may ask for a copy.
    EXECUTE format('GRANT INSERT (copy_of, copy_to) ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT INSERT, UPDATE ON pgdumpd.backup_attempts, pgdumpd.backup_copies TO %I', grantee);
    EXECUTE format('GRANT INSERT ON pgdumpd.backup_deletions TO %I', grantee);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON pgdumpd.workers, pgdumpd.schedules TO %I', grantee);
    -- For `pgdumpd adopt`.
    EXECUTE format('GRANT UPDATE (id, adopted_at) ON pgdumpd.queue TO %I', grantee);
    PERFORM pgdumpd.add_to_policy('daemons_write_all_rows', 'UPDATE', grantee);
END
$$;

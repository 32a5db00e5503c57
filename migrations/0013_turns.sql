-- No one holds up another: neither notifications, nor an open transaction, nor a key, nor a backlog.

-- The same as in migration 2, but a queue of notifications that is half full gets no more of them: where it is full, every
-- transaction that notifies fails, and any role that may connect can fill it. To ask how full it is also drops what
-- everybody has read, which nothing else does there.
CREATE OR REPLACE FUNCTION pgdumpd.hint(channel text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF lower(coalesce(current_setting('pgdumpd.notify', true), 'on')) NOT IN ('off', 'false', 'no', '0')
        AND pg_notification_queue_usage() < 0.5
    THEN
        PERFORM pg_notify(channel, '');
    END IF;
END
$$;

-- Whether the session's user, or the role that it has taken by SET ROLE, may operate on all jobs. `role` is what SET ROLE
-- was given, also inside of a function that runs as another.
CREATE FUNCTION pgdumpd.operates_on_all_jobs() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT has_function_privilege(session_user, 'pgdumpd.operate_on_all_jobs()', 'EXECUTE')
        OR CASE WHEN current_setting('role') <> 'none'
                THEN has_function_privilege(current_setting('role')::name, 'pgdumpd.operate_on_all_jobs()', 'EXECUTE')
                ELSE false END
    $$;
REVOKE ALL ON FUNCTION pgdumpd.operates_on_all_jobs() FROM PUBLIC;

-- The same as in migration 2, and of the role that SET ROLE took.
CREATE OR REPLACE FUNCTION pgdumpd.sees_all_jobs() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT has_table_privilege(session_user, 'pgdumpd.backup_jobs', 'SELECT')
        OR CASE WHEN current_setting('role') <> 'none'
                THEN has_table_privilege(current_setting('role')::name, 'pgdumpd.backup_jobs', 'SELECT')
                ELSE false END
    $$;

-- The same as in migration 2, but for its waits: another transaction that cancels the same job and has not ended is waited for
-- no longer than 2 s.
CREATE OR REPLACE FUNCTION pgdumpd.cancel_backup(id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
    AS $$
#variable_conflict use_variable
DECLARE
    job pgdumpd.backup_jobs;
BEGIN
    SELECT * INTO job FROM pgdumpd.backup_jobs AS j
    WHERE j.id = cancel_backup.id AND (j.requested_by = session_user OR pgdumpd.operates_on_all_jobs());
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    IF job.finished_at IS NOT NULL THEN
        RETURN 'already_' || job.state;
    END IF;
    BEGIN
        INSERT INTO pgdumpd.backup_cancels (job_id) VALUES (id) ON CONFLICT DO NOTHING;
    EXCEPTION WHEN lock_not_available THEN
        RAISE EXCEPTION 'another transaction cancels backup job % and has not ended', id
            USING ERRCODE = 'lock_not_available', HINT = 'Cancel again once it has ended: pg_stat_activity shows which are open.';
    END;
    -- A queued job ends here, unless somebody is claiming it in this very moment: then its daemon finds
    -- the request with its first heartbeat. SKIP LOCKED: this call never waits for the row. Until the commit the row is
    -- locked; claim.sql and claim_copy.sql walk past it.
    UPDATE pgdumpd.backup_jobs AS j
    SET state = 'cancelled', finished_at = clock_timestamp(), message = NULL,
        error_step = NULL, error_code = NULL, error = NULL, error_hint = NULL
    WHERE j.id = (SELECT q.id FROM pgdumpd.backup_jobs AS q
                  WHERE q.id = cancel_backup.id AND q.state = 'queued' FOR NO KEY UPDATE SKIP LOCKED);
    IF FOUND THEN
        RETURN 'cancelled';
    END IF;
    PERFORM pgdumpd.hint('pgdumpd_jobs');
    -- What it is by now, for it may have ended since it was read.
    SELECT * INTO job FROM pgdumpd.backup_jobs AS j WHERE j.id = cancel_backup.id;
    IF job.finished_at IS NOT NULL THEN
        RETURN 'already_' || job.state;
    END IF;
    RETURN 'cancelling';
END
$$;

-- The same as in migration 12, and a pattern has a bound: the server of the target compiles it to a regular expression, and takes
-- the longer for it the more repetitions are in it.
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
                IF length(regexp_replace(item #>> '{}', '[^*+{|]', '', 'g')) > 16 THEN
                    RAISE EXCEPTION 'spec key "%" has a pattern with more than 16 of the signs * + { |: %', entry.key, left(item::text, 100)
                        USING ERRCODE = 'check_violation', HINT = 'The server would take very long to match it. Write several patterns.';
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

-- A key is its role's own: nobody can take another's first.
DROP INDEX pgdumpd.backup_jobs_idempotency;
CREATE UNIQUE INDEX backup_jobs_idempotency ON pgdumpd.backup_jobs (target, idempotency_key, requested_by);

-- The same as in migration 2, for the caller's own keys alone.
CREATE OR REPLACE FUNCTION pgdumpd.enqueue_backup(
    target          text,
    spec            jsonb       DEFAULT '{}',
    priority        integer     DEFAULT 3,
    run_at          timestamptz DEFAULT now(),
    idempotency_key text        DEFAULT NULL,
    max_attempts    integer     DEFAULT 3,
    timeout         interval    DEFAULT NULL,
    id              uuid        DEFAULT NULL
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
    INSERT INTO pgdumpd.backup_jobs AS j (id, target, spec, priority, run_at, idempotency_key, max_attempts, timeout)
    VALUES (coalesce(id, gen_random_uuid()), target, coalesce(spec, '{}'), coalesce(priority, 3), coalesce(run_at, now()),
            idempotency_key, coalesce(max_attempts, 3), timeout)
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

-- The same as in migration 12, and SELECT on what ON CONFLICT names now.
CREATE OR REPLACE FUNCTION pgdumpd.add_producer_rights(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT INSERT (id, kind, target, spec, spec_version, priority, run_at, idempotency_key, max_attempts, timeout) ON pgdumpd.backup_jobs TO %I', grantee);
    -- INSERT … RETURNING id and ON CONFLICT (requested_by, target, idempotency_key) need these; row security limits them to own rows.
    EXECUTE format('GRANT SELECT (id, target, idempotency_key, requested_by) ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT SELECT ON pgdumpd.backup_status, pgdumpd.backup_monitoring, pgdumpd.daemon_status, pgdumpd.target_status TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.sees_all_jobs() TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.cancel_backup(uuid) TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid) TO %I', grantee);
END
$$;
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT r.rolname
        FROM pg_attribute AS c
        CROSS JOIN LATERAL aclexplode(c.attacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.attrelid = 'pgdumpd.backup_jobs'::regclass AND c.attname = 'idempotency_key' AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT (requested_by) ON pgdumpd.backup_jobs TO %I', held.rolname);
    END LOOP;
END
$$;

-- How many backups a role may have queued. The owner changes a role's row, or that of all others.
CREATE TABLE pgdumpd.quotas (
    requested_by text    PRIMARY KEY,
    queued_jobs  integer CONSTRAINT quotas_queued_jobs_is_not_negative CHECK (queued_jobs >= 0)
);
COMMENT ON TABLE pgdumpd.quotas IS
    'How many queued backups a role may have; NULL: any number. The row * is for roles without one; those that operate on all jobs may have any number then.';
INSERT INTO pgdumpd.quotas (requested_by, queued_jobs) VALUES ('*', 1000);

CREATE INDEX backup_jobs_queued_of ON pgdumpd.backup_jobs (requested_by) WHERE state = 'queued' AND kind = 'backup';

-- Counts no further than the quota, by the index, whatever the planner takes the table for. Transactions that are open at the
-- same time do not see one another's jobs: to be exact they would have to wait for one another.
CREATE FUNCTION pgdumpd.keep_to_the_quota() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
    AS $$
DECLARE
    own     text := session_user;
    allowed bigint;
    queued  bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM new_jobs AS n WHERE n.requested_by = own AND n.state = 'queued' AND n.kind = 'backup') THEN
        RETURN NULL;
    END IF;
    SELECT q.queued_jobs INTO allowed FROM pgdumpd.quotas AS q WHERE q.requested_by = own;
    IF NOT FOUND AND NOT pgdumpd.operates_on_all_jobs() THEN
        SELECT q.queued_jobs INTO allowed FROM pgdumpd.quotas AS q WHERE q.requested_by = '*';
    END IF;
    IF allowed IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO queued
    FROM (SELECT FROM pgdumpd.backup_jobs AS j
          WHERE j.requested_by = own AND j.state = 'queued' AND j.kind = 'backup' LIMIT allowed + 1) AS counted;
    IF queued > allowed THEN
        RAISE EXCEPTION 'role "%" may have % queued backup jobs', own, allowed
            USING ERRCODE = 'configuration_limit_exceeded',
                  HINT = 'Wait until some have begun, or cancel some. The owner of the queue may allow more in the table pgdumpd.quotas.';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.keep_to_the_quota() FROM PUBLIC;
CREATE TRIGGER keep_to_the_quota AFTER INSERT ON pgdumpd.backup_jobs
    REFERENCING NEW TABLE AS new_jobs
    FOR EACH STATEMENT EXECUTE FUNCTION pgdumpd.keep_to_the_quota();

-- Which roles were served at a target, and in which order: of those that wait, the one that was served longest ago is next. A
-- number, not a time, which may be set back. Written here, so that daemons of before this migration need not know of it.
CREATE TABLE pgdumpd.turns (
    target       text   NOT NULL,
    requested_by text   NOT NULL,
    served       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (target, requested_by)
) WITH (fillfactor = 70);
CREATE FUNCTION pgdumpd.note_turn() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    -- Two claims of one target meet on another index before they come here.
    INSERT INTO pgdumpd.turns AS t (target, requested_by) VALUES (NEW.target, NEW.requested_by)
    ON CONFLICT (target, requested_by) DO UPDATE SET served = DEFAULT;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.note_turn() FROM PUBLIC;
CREATE TRIGGER note_turn AFTER UPDATE OF state ON pgdumpd.backup_jobs
    FOR EACH ROW WHEN (NEW.state = 'running' AND OLD.state = 'queued' AND NEW.kind = 'backup')
    EXECUTE FUNCTION pgdumpd.note_turn();

-- Each role's jobs by themselves, in their order: a claim probes the first one of each role that waits. The index that there was,
-- without the role, is for daemons of before this migration.
CREATE INDEX backup_jobs_claim_in_turn ON pgdumpd.backup_jobs (target, priority, requested_by, run_at, id) WHERE state = 'queued';

-- Whoever reads the daemons' table reads these.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT r.rolname
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.oid = 'pgdumpd.workers'::regclass AND a.grantee <> c.relowner AND a.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT ON pgdumpd.quotas, pgdumpd.turns TO %I', held.rolname);
    END LOOP;
END
$$;

-- The same as in migration 12, but queue_position counts the jobs of the same role alone: roles take turns.
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
    j.lease_expires_at
FROM pgdumpd.visible_jobs AS j;

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

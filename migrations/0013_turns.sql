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

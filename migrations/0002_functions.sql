-- What an application calls, and the rules that a constraint cannot say.
-- Every function has a fixed search_path; none may be executed by PUBLIC.

-- Rights over all jobs are ordinary PostgreSQL privileges: who may SELECT the table of jobs sees all of
-- them in the views; who may execute operate_on_all_jobs() may also cancel all of them.
CREATE FUNCTION pgdumpd.operate_on_all_jobs() RETURNS void
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT $$;
COMMENT ON FUNCTION pgdumpd.operate_on_all_jobs() IS
    'Does nothing: the privilege to execute it is the privilege to cancel the jobs of every role.';

-- Says whether the session's user may see every job. Evaluated once a query.
CREATE FUNCTION pgdumpd.sees_all_jobs() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT has_table_privilege(session_user, 'pgdumpd.backup_jobs', 'SELECT') $$;

-- Refuses a malformed spec (version 1) as it is inserted, naming the key.
CREATE FUNCTION pgdumpd.check_spec() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    entry record;
    item  jsonb;
BEGIN
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
CREATE TRIGGER check_spec BEFORE INSERT ON pgdumpd.backup_jobs
    FOR EACH ROW EXECUTE FUNCTION pgdumpd.check_spec();

-- A finished job never changes again.
CREATE FUNCTION pgdumpd.keep_the_end() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'backup job % has ended as % and cannot change', OLD.id, OLD.state
            USING ERRCODE = 'check_violation', HINT = 'Enqueue a new job.';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_the_end BEFORE UPDATE ON pgdumpd.backup_jobs
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION pgdumpd.keep_the_end();

-- Notifications are hints: an empty payload, and only where they can shorten somebody's wait.
-- `SET pgdumpd.notify = off` (for a session, role or database) silences them, because a transaction
-- that has notified cannot be prepared for a two-phase commit.
CREATE FUNCTION pgdumpd.hint(channel text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF lower(coalesce(current_setting('pgdumpd.notify', true), 'on')) NOT IN ('off', 'false', 'no', '0') THEN
        PERFORM pg_notify(channel, '');
    END IF;
END
$$;

CREATE FUNCTION pgdumpd.hint_of_new_jobs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF EXISTS (SELECT FROM new_jobs WHERE run_at <= clock_timestamp()) THEN
        PERFORM pgdumpd.hint('pgdumpd_jobs');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER hint_of_new_jobs AFTER INSERT ON pgdumpd.backup_jobs
    REFERENCING NEW TABLE AS new_jobs
    FOR EACH STATEMENT EXECUTE FUNCTION pgdumpd.hint_of_new_jobs();

CREATE FUNCTION pgdumpd.hint_of_changed_state() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.hint('pgdumpd_status');
    -- A job that stopped running is due again, or its target is free for the next one.
    IF OLD.state = 'running' AND NEW.state <> 'running' THEN
        PERFORM pgdumpd.hint('pgdumpd_jobs');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER hint_of_changed_state AFTER UPDATE OF state ON pgdumpd.backup_jobs
    FOR EACH ROW EXECUTE FUNCTION pgdumpd.hint_of_changed_state();

-- Enqueues a backup. is_new is false where the idempotency key or the id found an earlier job of the
-- caller's, whose id is then returned: so a caller that lost the answer may ask again.
CREATE FUNCTION pgdumpd.enqueue_backup(
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
DECLARE
    owner text;
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
    SELECT j.id, j.requested_by INTO job_id, owner
    FROM pgdumpd.backup_jobs AS j
    WHERE j.target = enqueue_backup.target AND j.idempotency_key = enqueue_backup.idempotency_key;
    IF NOT FOUND THEN
        PERFORM FROM pgdumpd.backup_jobs AS j
        WHERE j.id = enqueue_backup.id AND j.target = enqueue_backup.target AND j.requested_by = session_user;
        IF FOUND THEN
            job_id := id;
            is_new := false;
            RETURN NEXT;
            RETURN;
        END IF;
        RAISE EXCEPTION 'a backup job with the id % exists already', id
            USING ERRCODE = 'unique_violation', HINT = 'Leave the id out, or choose a new random one.';
    END IF;
    IF owner <> session_user AND NOT pgdumpd.sees_all_jobs() THEN
        RAISE EXCEPTION 'the idempotency key "%" of target "%" belongs to another role', idempotency_key, target
            USING ERRCODE = 'unique_violation', HINT = 'Put the name of the application into the key.';
    END IF;
    is_new := false;
    RETURN NEXT;
END
$$;

-- Cancels a job and says what became of it: cancelled (it was queued), cancelling (it runs; its daemon
-- stops it), already_succeeded, already_failed, already_cancelled, not_found.
CREATE FUNCTION pgdumpd.cancel_backup(id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    job pgdumpd.backup_jobs;
BEGIN
    SELECT * INTO job FROM pgdumpd.backup_jobs AS j
    WHERE j.id = cancel_backup.id
      AND (j.requested_by = session_user OR has_function_privilege(session_user, 'pgdumpd.operate_on_all_jobs()', 'EXECUTE'));
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    IF job.finished_at IS NOT NULL THEN
        RETURN 'already_' || job.state;
    END IF;
    INSERT INTO pgdumpd.backup_cancels (job_id) VALUES (id) ON CONFLICT DO NOTHING;
    -- A queued job ends here, unless somebody is claiming it in this very moment: then its daemon finds
    -- the request with its first heartbeat. SKIP LOCKED: this call never waits for the row.
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgdumpd FROM PUBLIC;

-- Which trace of the asker's a job belongs to: what its log lines say, too.

-- As W3C Trace Context writes it: version, trace, parent and flags; neither trace nor parent is zero.
ALTER TABLE pgdumpd.backup_jobs
    ADD COLUMN trace_parent text COLLATE "C",
    ADD CONSTRAINT backup_jobs_trace_parent_is_of_w3c
        CHECK (trace_parent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'
               AND trace_parent !~ '^ff|-0{32}-|-0{16}-');
COMMENT ON COLUMN pgdumpd.backup_jobs.trace_parent IS
    'The asker''s W3C traceparent, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01; in every log line of the job.';

-- The same as in migration 15, with trace_parent.
CREATE FUNCTION pgdumpd.enqueue_backup(
    target          text,
    spec            jsonb       DEFAULT '{}',
    priority        integer     DEFAULT 3,
    run_at          timestamptz DEFAULT now(),
    idempotency_key text        DEFAULT NULL,
    max_attempts    integer     DEFAULT 3,
    timeout         interval    DEFAULT NULL,
    id              uuid        DEFAULT NULL,
    metadata        jsonb       DEFAULT '{}',
    trace_parent    text        DEFAULT NULL
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
    INSERT INTO pgdumpd.backup_jobs AS j (id, target, spec, priority, run_at, idempotency_key, max_attempts, timeout, metadata, trace_parent)
    VALUES (coalesce(id, gen_random_uuid()), target, coalesce(spec, '{}'), coalesce(priority, 3), coalesce(run_at, now()),
            idempotency_key, coalesce(max_attempts, 3), timeout, coalesce(metadata, '{}'), trace_parent)
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
REVOKE ALL ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb, text) FROM PUBLIC;

-- The same as in migration 15, with trace_parent.
CREATE OR REPLACE FUNCTION pgdumpd.add_producer_rights(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT INSERT (id, kind, target, spec, spec_version, priority, run_at, idempotency_key, max_attempts, timeout, metadata, trace_parent) ON pgdumpd.backup_jobs TO %I', grantee);
    -- INSERT … RETURNING id and ON CONFLICT (requested_by, target, idempotency_key) need these; row security limits them to own rows.
    EXECUTE format('GRANT SELECT (id, target, idempotency_key, requested_by) ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT SELECT ON pgdumpd.backup_status, pgdumpd.backup_monitoring, pgdumpd.daemon_status, pgdumpd.target_status, pgdumpd.served_targets TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.sees_all_jobs() TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.cancel_backup(uuid) TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb, text) TO %I', grantee);
END
$$;

-- Whoever may call the function of before may call this one, and whoever may write the other columns this one.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT DISTINCT r.rolname
        FROM pg_proc AS p
        CROSS JOIN LATERAL aclexplode(p.proacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE p.oid = 'pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb)'::regprocedure
          AND a.grantee <> p.proowner AND a.privilege_type = 'EXECUTE'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb, text) TO %I', held.rolname);
    END LOOP;
    DROP FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid, jsonb);
    FOR held IN
        SELECT r.rolname
        FROM pg_attribute AS c
        CROSS JOIN LATERAL aclexplode(c.attacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.attrelid = 'pgdumpd.backup_jobs'::regclass AND c.attname = 'spec' AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE format('GRANT INSERT (trace_parent) ON pgdumpd.backup_jobs TO %I', held.rolname);
    END LOOP;
END
$$;

-- Who may do what. Each function gives a role the rights of one part; calling it again changes nothing.
-- `pgdumpd migrate --grant-…` calls them; a DBA may call them by hand. Only the owner of the schema can.

-- Row security for roles that see all rows: the policies' lists of roles are kept by id, so a renamed
-- role stays in them.
CREATE FUNCTION pgdumpd.add_to_policy(policy name, command text, grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    present oid[];
    roles   text;
BEGIN
    SELECT p.polroles INTO present FROM pg_policy AS p
    WHERE p.polrelid = 'pgdumpd.backup_jobs'::regclass AND p.polname = policy;
    IF NOT FOUND THEN
        EXECUTE format('CREATE POLICY %I ON pgdumpd.backup_jobs FOR %s TO %I USING (true)', policy, command, grantee);
    ELSIF NOT (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = grantee) = ANY (present) THEN
        SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname) INTO roles
        FROM pg_roles AS r WHERE r.oid = ANY (present) OR r.rolname = grantee;
        EXECUTE format('ALTER POLICY %I ON pgdumpd.backup_jobs TO %s', policy, roles);
    END IF;
END
$$;

CREATE FUNCTION pgdumpd.require_role(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = grantee) THEN
        RAISE EXCEPTION 'role "%" does not exist', grantee
            USING ERRCODE = 'undefined_object', HINT = format('Create it first: CREATE ROLE %I LOGIN.', grantee);
    END IF;
END
$$;

-- May enqueue, and see and cancel what it enqueued itself. No UPDATE: it would let an application lock rows
-- and stall the daemon.
CREATE FUNCTION pgdumpd.grant_producer(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.require_role(grantee);
    EXECUTE format('GRANT USAGE ON SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT INSERT (id, kind, target, spec, spec_version, priority, run_at, idempotency_key, max_attempts, timeout) ON pgdumpd.backup_jobs TO %I', grantee);
    -- INSERT … RETURNING id and ON CONFLICT (target, idempotency_key) need these; row security limits them to own rows.
    EXECUTE format('GRANT SELECT (id, target, idempotency_key) ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT SELECT ON pgdumpd.backup_status, pgdumpd.backup_monitoring, pgdumpd.daemon_status TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.sees_all_jobs() TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.cancel_backup(uuid) TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.enqueue_backup(text, jsonb, integer, timestamptz, text, integer, interval, uuid) TO %I', grantee);
END
$$;

-- May see everything and change nothing.
CREATE FUNCTION pgdumpd.grant_reader(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.require_role(grantee);
    EXECUTE format('GRANT USAGE ON SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.sees_all_jobs() TO %I', grantee);
    PERFORM pgdumpd.add_to_policy('readers_see_all_rows', 'SELECT', grantee);
END
$$;

-- May see everything, enqueue, and cancel every role's jobs.
CREATE FUNCTION pgdumpd.grant_operator(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.grant_producer(grantee);
    PERFORM pgdumpd.grant_reader(grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.operate_on_all_jobs() TO %I', grantee);
END
$$;

-- The daemon: an operator that also writes what only a daemon writes. It does not own the schema, cannot
-- change what was asked for or by whom, and cannot delete a job.
CREATE FUNCTION pgdumpd.grant_daemon(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.grant_operator(grantee);
    EXECUTE format('GRANT UPDATE (state, run_at, attempt, rescues, lease_token, worker_id, lease_expires_at, started_at, finished_at,
                                  phase, progress, message, current_table, tables_done, tables_total, rows_done, bytes_dumped,
                                  bytes_stored, estimated_end, progress_at, error_step, error_code, error, error_hint,
                                  warnings, warnings_total, size_bytes, sha256)
                    ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT INSERT, UPDATE ON pgdumpd.backup_attempts, pgdumpd.backup_copies TO %I', grantee);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON pgdumpd.workers TO %I', grantee);
    -- For `pgdumpd adopt`.
    EXECUTE format('GRANT UPDATE (id, adopted_at) ON pgdumpd.queue TO %I', grantee);
    PERFORM pgdumpd.add_to_policy('daemons_write_all_rows', 'UPDATE', grantee);
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgdumpd FROM PUBLIC;

-- Rights can be taken back, and a lesser grant takes what it has not: who was an operator and becomes a producer sees its
-- own jobs alone from then on.

-- Takes a role out of a policy's list; the policy goes with its last role.
CREATE FUNCTION pgdumpd.remove_from_policy(policy name, grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    present oid[];
    roles   text;
BEGIN
    SELECT p.polroles INTO present FROM pg_policy AS p
    WHERE p.polrelid = 'pgdumpd.backup_jobs'::regclass AND p.polname = policy;
    IF NOT FOUND OR NOT (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = grantee) = ANY (present) THEN
        RETURN;
    END IF;
    SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname) INTO roles
    FROM pg_roles AS r WHERE r.oid = ANY (present) AND r.rolname <> grantee;
    IF roles IS NULL THEN
        EXECUTE format('DROP POLICY %I ON pgdumpd.backup_jobs', policy);
    ELSE
        EXECUTE format('ALTER POLICY %I ON pgdumpd.backup_jobs TO %s', policy, roles);
    END IF;
END
$$;

-- Takes back everything that the functions below give.
CREATE FUNCTION pgdumpd.revoke_role(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.take_rights(grantee, '{}');
END
$$;

-- Takes back everything that the functions below give, but for membership in these policies: to change that waits for every
-- open transaction that has enqueued a job.
CREATE FUNCTION pgdumpd.take_rights(grantee name, policies_kept name[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    policy name;
BEGIN
    PERFORM pgdumpd.require_role(grantee);
    -- The owner may do everything by that alone, and the functions that act for applications are the owner's.
    IF (SELECT r.rolname = grantee FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
        WHERE n.nspname = 'pgdumpd') THEN
        RETURN;
    END IF;
    -- With a table's rights go those on its columns.
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA pgdumpd FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgdumpd FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON SCHEMA pgdumpd FROM %I', grantee);
    FOREACH policy IN ARRAY ARRAY['readers_see_all_rows', 'daemons_write_all_rows']::name[] LOOP
        IF policy <> ALL (policies_kept) THEN
            PERFORM pgdumpd.remove_from_policy(policy, grantee);
        END IF;
    END LOOP;
END
$$;

-- The rights of each part, added to what a role has.
CREATE FUNCTION pgdumpd.add_producer_rights(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
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

CREATE FUNCTION pgdumpd.add_reader_rights(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA pgdumpd TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.sees_all_jobs() TO %I', grantee);
    PERFORM pgdumpd.add_to_policy('readers_see_all_rows', 'SELECT', grantee);
END
$$;

CREATE FUNCTION pgdumpd.add_operator_rights(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.add_producer_rights(grantee);
    PERFORM pgdumpd.add_reader_rights(grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.operate_on_all_jobs() TO %I', grantee);
END
$$;

CREATE OR REPLACE FUNCTION pgdumpd.grant_producer(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.take_rights(grantee, '{}');
    PERFORM pgdumpd.add_producer_rights(grantee);
END
$$;

CREATE OR REPLACE FUNCTION pgdumpd.grant_reader(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.take_rights(grantee, '{readers_see_all_rows}');
    PERFORM pgdumpd.add_reader_rights(grantee);
END
$$;

CREATE OR REPLACE FUNCTION pgdumpd.grant_operator(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.take_rights(grantee, '{readers_see_all_rows}');
    PERFORM pgdumpd.add_operator_rights(grantee);
END
$$;

-- The rights are those of migration 10.
CREATE OR REPLACE FUNCTION pgdumpd.grant_daemon(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.take_rights(grantee, '{readers_see_all_rows,daemons_write_all_rows}');
    PERFORM pgdumpd.add_operator_rights(grantee);
    EXECUTE format('GRANT UPDATE (state, run_at, attempt, rescues, lease_token, worker_id, lease_expires_at, started_at, finished_at,
                                  phase, progress, message, current_table, tables_done, tables_total, rows_done, bytes_dumped,
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgdumpd FROM PUBLIC;

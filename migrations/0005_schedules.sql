-- Which due times of the targets' schedules are settled. There is no leader: every daemon works out what is due,
-- and the row of the schedule, which only one can move on, makes one job of it.

CREATE TABLE pgdumpd.schedules (
    target   text        NOT NULL
             CONSTRAINT schedules_target_is_a_name
             CHECK (octet_length(target) BETWEEN 1 AND 200 AND target !~ '[[:cntrl:]]'),
    -- Expression and zone, as the daemons' configuration has them. A changed schedule is another one, so it is
    -- not due for a time before it was first seen.
    schedule text        NOT NULL
             CONSTRAINT schedules_schedule_is_short CHECK (octet_length(schedule) BETWEEN 1 AND 400),
    -- The last due time that is settled; at first, when the schedule was first seen.
    due_at   timestamptz NOT NULL,
    job_id   uuid        REFERENCES pgdumpd.backup_jobs (id) ON DELETE SET NULL,
    -- When a daemon last had it in its configuration.
    seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (target, schedule)
) WITH (fillfactor = 70);

-- The same as in migration 4, and the table above.
CREATE OR REPLACE FUNCTION pgdumpd.grant_daemon(grantee name) RETURNS void
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
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON pgdumpd.workers, pgdumpd.schedules TO %I', grantee);
    -- For `pgdumpd adopt`.
    EXECUTE format('GRANT UPDATE (id, adopted_at) ON pgdumpd.queue TO %I', grantee);
    PERFORM pgdumpd.add_to_policy('daemons_write_all_rows', 'UPDATE', grantee);
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.grant_daemon(name) FROM PUBLIC;

-- Whoever has rights on the daemons' table already has them for the same reason here.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT a.privilege_type, r.rolname
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.oid = 'pgdumpd.workers'::regclass AND a.grantee <> c.relowner
          AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    LOOP
        EXECUTE format('GRANT %s ON pgdumpd.schedules TO %I', held.privilege_type, held.rolname);
    END LOOP;
END
$$;

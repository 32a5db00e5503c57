-- A request to delete a backup everywhere. It outlives the command that made it: what a daemon stores of that backup
-- later, because it was cut off in mid copy or because a storage was away, is deleted by the daemons.

CREATE TABLE pgdumpd.backup_deletions (
    job_id       uuid        PRIMARY KEY REFERENCES pgdumpd.backup_jobs (id) ON DELETE CASCADE,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text        NOT NULL DEFAULT session_user
);

-- What daemons have begun to delete; each looks for it at every heartbeat.
CREATE INDEX backup_copies_deleting ON pgdumpd.backup_copies (storage_id) WHERE state = 'deleting';

-- The same as in migration 6, and the table above.
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

-- Whoever has rights on the daemons' table already is a daemon, or reads everything.
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
          AND a.privilege_type IN ('SELECT', 'INSERT')
    LOOP
        EXECUTE format('GRANT %s ON pgdumpd.backup_deletions TO %I', held.privilege_type, held.rolname);
    END LOOP;
END
$$;

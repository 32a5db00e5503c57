-- Copies: each further storage of a target is a job of its own, enqueued in the statement that ends the backup. A copy
-- reads one storage and writes another. It needs no connection to the database that was dumped, and holds no lock there.

ALTER TABLE pgdumpd.backup_jobs
    -- Whose backup is copied, and the name of the storage that is to hold it, too. Only daemons may write them.
    ADD COLUMN copy_of uuid
        CONSTRAINT backup_jobs_copy_of_a_backup REFERENCES pgdumpd.backup_jobs (id) ON DELETE CASCADE,
    ADD COLUMN copy_to text
        CONSTRAINT backup_jobs_copy_to_is_a_name
        CHECK (octet_length(copy_to) BETWEEN 1 AND 200 AND copy_to !~ '[[:cntrl:]]'),
    DROP CONSTRAINT backup_jobs_kind_is_known,
    ADD CONSTRAINT backup_jobs_kind_is_known CHECK (kind IN ('backup', 'copy')),
    ADD CONSTRAINT backup_jobs_copy_names_backup_and_storage
        CHECK ((kind = 'copy') = (copy_of IS NOT NULL) AND (kind = 'copy') = (copy_to IS NOT NULL)),
    -- Copies have a priority of their own, behind all others. A daemon that knows no copies looks for the priorities
    -- 1 to 5, so it never claims one; and a claim of a backup, old or new, probes another part of the same index,
    -- however many copies wait. (An old daemon still takes a target for busy while a copy of it runs.)
    DROP CONSTRAINT backup_jobs_priority_is_1_to_5,
    ADD CONSTRAINT backup_jobs_priority_is_1_to_5
        CHECK (CASE kind WHEN 'copy' THEN priority = 6 ELSE priority BETWEEN 1 AND 5 END);

CREATE INDEX backup_jobs_claim_copy ON pgdumpd.backup_jobs (copy_to, run_at, id) WHERE state = 'queued' AND kind = 'copy';
-- One open copy of a backup to a storage, and so never two that run.
CREATE UNIQUE INDEX backup_jobs_one_open_copy ON pgdumpd.backup_jobs (copy_of, copy_to)
    WHERE kind = 'copy' AND finished_at IS NULL;
CREATE INDEX backup_jobs_copies ON pgdumpd.backup_jobs (copy_of) WHERE copy_of IS NOT NULL;

-- A copy is of the target that its backup is of, and belongs to whoever asked for the backup, who so may see and cancel
-- it: the server says so, whatever the daemon wrote.
CREATE FUNCTION pgdumpd.complete_copy() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    SELECT b.target, b.spec, b.spec_version, b.requested_by, 6
    INTO NEW.target, NEW.spec, NEW.spec_version, NEW.requested_by, NEW.priority
    FROM pgdumpd.backup_jobs AS b
    WHERE b.id = NEW.copy_of AND b.kind = 'backup';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no backup % to copy', NEW.copy_of USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.complete_copy() FROM PUBLIC;
CREATE TRIGGER complete_copy BEFORE INSERT ON pgdumpd.backup_jobs
    -- Without a backup it breaks a constraint, which says so better.
    FOR EACH ROW WHEN (NEW.kind = 'copy' AND NEW.copy_of IS NOT NULL) EXECUTE FUNCTION pgdumpd.complete_copy();

ALTER TABLE pgdumpd.workers
    -- Which storages the daemon has in its configuration, and how many copies it makes at once. A daemon that knows
    -- no copies writes neither.
    ADD COLUMN storages   text[]  NOT NULL DEFAULT '{}',
    ADD COLUMN max_copies integer NOT NULL DEFAULT 0;

-- The same as in migration 5, and what a copy needs.
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
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON pgdumpd.workers, pgdumpd.schedules TO %I', grantee);
    -- For `pgdumpd adopt`.
    EXECUTE format('GRANT UPDATE (id, adopted_at) ON pgdumpd.queue TO %I', grantee);
    PERFORM pgdumpd.add_to_policy('daemons_write_all_rows', 'UPDATE', grantee);
END
$$;

-- Whoever has rights on the daemons' table already is a daemon.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT r.rolname
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.oid = 'pgdumpd.workers'::regclass AND a.grantee <> c.relowner AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE format('GRANT INSERT (copy_of, copy_to) ON pgdumpd.backup_jobs TO %I', held.rolname);
    END LOOP;
END
$$;

-- The same as in migration 3, and the copies: new columns come last, so that the views can be replaced in place.
CREATE OR REPLACE VIEW pgdumpd.backup_status WITH (security_barrier) AS
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
    CASE WHEN j.state = 'queued' AND j.run_at <= clock_timestamp() THEN (
        SELECT count(*) + 1
        FROM pgdumpd.backup_jobs AS ahead
        WHERE ahead.state = 'queued' AND ahead.target = j.target AND ahead.run_at <= clock_timestamp()
          AND ahead.kind = j.kind AND ahead.copy_to IS NOT DISTINCT FROM j.copy_to
          AND (ahead.priority, ahead.run_at, ahead.id) < (j.priority, j.run_at, j.id)
    ) END AS queue_position,
    CASE WHEN j.state = 'queued' THEN
        CASE
            -- What keeps a copy waiting are storages, never its target: the database is not needed for it.
            WHEN j.kind = 'copy' AND NOT EXISTS (
                    SELECT FROM pgdumpd.workers AS w
                    WHERE j.copy_to = ANY (w.storages) AND w.max_copies > 0 AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon makes copies to storage "' || j.copy_to || '"'
            WHEN j.kind = 'copy'
                AND EXISTS (SELECT FROM pgdumpd.backup_copies AS b WHERE b.job_id = j.copy_of AND b.state = 'stored')
                AND NOT EXISTS (
                    SELECT FROM pgdumpd.backup_copies AS b
                    JOIN pgdumpd.workers AS w ON b.storage = ANY (w.storages)
                    WHERE b.job_id = j.copy_of AND b.state = 'stored'
                      AND j.copy_to = ANY (w.storages) AND w.max_copies > 0 AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon that makes copies to storage "' || j.copy_to || '" has a storage that holds the backup'
            WHEN j.kind = 'backup' AND NOT EXISTS (SELECT FROM pgdumpd.workers AS w
                             WHERE j.target = ANY (w.targets) AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon serves target "' || j.target || '"'
            WHEN j.kind = 'backup' AND NOT EXISTS (SELECT FROM pgdumpd.workers AS w
                             WHERE j.target = ANY (w.targets) AND j.spec_version = ANY (w.spec_versions)
                               AND w.last_seen_at > clock_timestamp() - w.lease)
                THEN 'no daemon of this target understands spec version ' || j.spec_version::text
            WHEN j.run_at > clock_timestamp() AND j.attempt > 0
                THEN 'attempt ' || (j.attempt + 1)::text || ' of ' || j.max_attempts::text || ' is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            WHEN j.run_at > clock_timestamp()
                THEN 'is due at ' || to_char(j.run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
            WHEN j.kind = 'backup' AND EXISTS (SELECT FROM pgdumpd.backup_jobs AS r
                             WHERE r.state = 'running' AND r.kind = 'backup' AND r.target = j.target)
                THEN 'another backup of target "' || j.target || '" is running'
            ELSE 'waits for a free daemon'
        END
    END AS waits_because,
    -- Of a running job so far, of an ended one in all.
    extract(epoch FROM coalesce(j.finished_at, clock_timestamp()) - j.started_at)::double precision AS elapsed_seconds,
    CASE WHEN j.started_at IS NOT NULL THEN
        CASE WHEN coalesce(j.finished_at, clock_timestamp()) - j.started_at >= interval '1 hour'
             THEN floor(extract(epoch FROM coalesce(j.finished_at, clock_timestamp()) - j.started_at) / 3600)::text || to_char(coalesce(j.finished_at, clock_timestamp()) - j.started_at, ':MI:SS')
             ELSE to_char(coalesce(j.finished_at, clock_timestamp()) - j.started_at, 'FMMI:SS')
        END
    END AS elapsed,
    greatest(j.created_at, j.started_at, j.progress_at, j.finished_at) AS last_update,
    c.requested_at AS cancel_requested_at,
    copies.stored AS copies_stored,
    copies.total AS copies_total,
    copies.stored::text || ' of ' || copies.total::text AS copies,
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
    j.copy_to
FROM pgdumpd.backup_jobs AS j
LEFT JOIN pgdumpd.backup_cancels AS c ON c.job_id = j.id
CROSS JOIN LATERAL (
    -- Of the backup, also where the row is one of its copies'. What is still to come counts, and what failed: it
    -- was wanted. What was cancelled does not.
    SELECT held.stored, greatest(held.known + still.expected, 1) AS total
    FROM (
        SELECT count(*) FILTER (WHERE b.state = 'stored') AS stored, count(*) AS known
        FROM pgdumpd.backup_copies AS b
        WHERE b.job_id = coalesce(j.copy_of, j.id)
    ) AS held
    CROSS JOIN (
        SELECT count(DISTINCT k.copy_to) AS expected
        FROM pgdumpd.backup_jobs AS k
        WHERE k.copy_of = coalesce(j.copy_of, j.id) AND k.state IN ('queued', 'running', 'failed')
          AND NOT EXISTS (SELECT FROM pgdumpd.backup_copies AS b WHERE b.job_id = k.copy_of AND b.storage = k.copy_to)
    ) AS still
) AS copies
WHERE j.requested_by = session_user OR (SELECT pgdumpd.sees_all_jobs());

CREATE OR REPLACE VIEW pgdumpd.backup_monitoring WITH (security_barrier) AS
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
    w.id AS worker_id,
    w.host AS worker_host,
    w.pid AS worker_pid,
    w.last_seen_at AS worker_last_seen_at,
    j.lease_expires_at,
    -- True where no living daemon serves the target of a queued backup, or the storage that a copy is to go to.
    s.state = 'queued' AND NOT EXISTS (
        SELECT FROM pgdumpd.workers AS l
        WHERE CASE s.kind WHEN 'copy' THEN s.copy_to = ANY (l.storages) AND l.max_copies > 0 ELSE s.target = ANY (l.targets) END
          AND l.last_seen_at > clock_timestamp() - l.lease
    ) AS unserved,
    s.kind,
    s.copy_of,
    s.copy_to,
    s.copies
FROM pgdumpd.backup_status AS s
JOIN pgdumpd.backup_jobs AS j ON j.id = s.id
LEFT JOIN pgdumpd.workers AS w ON w.id = j.worker_id
WHERE j.finished_at IS NULL;

CREATE OR REPLACE VIEW pgdumpd.daemon_status WITH (security_barrier) AS
SELECT
    w.id,
    w.host,
    w.pid,
    w.version,
    -- The names of targets and what is wrong with them are not every producer's business.
    CASE WHEN (SELECT pgdumpd.sees_all_jobs()) THEN w.targets END AS targets,
    w.max_jobs,
    w.started_at,
    w.last_seen_at,
    CASE
        WHEN w.last_seen_at <= clock_timestamp() - w.lease THEN 'gone'
        WHEN w.stopping THEN 'stopping'
        ELSE 'alive'
    END AS state,
    (SELECT count(*) FROM pgdumpd.backup_jobs AS j
     WHERE j.state = 'running' AND j.kind = 'backup' AND j.worker_id = w.id) AS running_jobs,
    CASE WHEN (SELECT pgdumpd.sees_all_jobs()) THEN w.checks END AS checks,
    w.checked_at,
    CASE WHEN (SELECT pgdumpd.sees_all_jobs()) THEN w.storages END AS storages,
    w.max_copies,
    (SELECT count(*) FROM pgdumpd.backup_jobs AS j
     WHERE j.state = 'running' AND j.kind = 'copy' AND j.worker_id = w.id) AS running_copies
FROM pgdumpd.workers AS w;

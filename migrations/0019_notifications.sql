-- Notifications: what people and other programs are told. A message is a row that is written in the transaction in which it
-- happened, one for each receiver, so that none is lost with a daemon, and many daemons send each once.

-- Whom daemons can tell: their [notify.NAME], which they write here. Only for a receiver that is known is anything written.
CREATE TABLE pgdumpd.receivers (
    name          text        PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 200),
    events        text[]      NOT NULL,
    -- NULL: all.
    targets       text[],
    seen_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The daemon that sends to it at present: one at a time, so that messages stay in their order.
    claimed_by    uuid,
    claimed_until timestamptz
) WITH (fillfactor = 70);
COMMENT ON TABLE pgdumpd.receivers IS 'Whom daemons can tell, as their configurations have it.';

CREATE TABLE pgdumpd.notifications (
    -- What a receiver knows a message by that comes twice.
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    -- The order.
    number       bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    receiver     text        NOT NULL,
    event        text        NOT NULL
                 CONSTRAINT notifications_event_is_known
                 CHECK (event IN ('started', 'succeeded', 'failed', 'recovered', 'overdue', 'copy_failed', 'damaged', 'check_failed')),
    target       text,
    job_id       uuid,
    happened_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    details      jsonb       NOT NULL DEFAULT '{}',
    attempts     integer     NOT NULL DEFAULT 0,
    next_try_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error   text,
    sent_at      timestamptz,
    gave_up_at   timestamptz
) WITH (fillfactor = 70);
COMMENT ON TABLE pgdumpd.notifications IS 'Messages, one for each receiver; kept for 30 days.';
CREATE INDEX notifications_unsent ON pgdumpd.notifications (receiver, number) WHERE sent_at IS NULL AND gave_up_at IS NULL;
CREATE INDEX notifications_happened ON pgdumpd.notifications (happened_at);

-- What is wrong at present, so that it is told once, and that its end can be told: failed and overdue targets, damaged
-- copies, findings of checks.
CREATE TABLE pgdumpd.alerts (
    kind      text        NOT NULL CHECK (kind IN ('failed', 'overdue', 'damaged', 'check_failed')),
    subject   text        NOT NULL,
    since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Of a check: the daemon that found it.
    worker_id uuid,
    PRIMARY KEY (kind, subject)
);
COMMENT ON TABLE pgdumpd.alerts IS 'What is wrong and was told.';

-- Since when a target with alert_after is known: one that never had a backup is overdue that long after it.
CREATE TABLE pgdumpd.watched_targets (
    target text        PRIMARY KEY,
    since  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE pgdumpd.watched_targets IS 'Since when each target with alert_after is known.';

-- Writes a message for each receiver that wants it. Those that no daemon has had for a week are nobody's.
CREATE FUNCTION pgdumpd.notify_receivers(event text, target text, job_id uuid, details jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_variable
DECLARE
    receivers bigint;
BEGIN
    INSERT INTO pgdumpd.notifications AS n (receiver, event, target, job_id, details)
    SELECT r.name, event, target, job_id, details
    FROM pgdumpd.receivers AS r
    WHERE event = ANY (r.events) AND (r.targets IS NULL OR target = ANY (r.targets))
      AND r.seen_at > clock_timestamp() - interval '7 days'
    ORDER BY r.name;
    GET DIAGNOSTICS receivers = ROW_COUNT;
    RETURN receivers;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.notify_receivers(text, text, uuid, jsonb) FROM PUBLIC;

-- What happened to a job. Written here, so that daemons of before this migration need not know of it, and with the job's own
-- change of state, so that neither is without the other.
CREATE FUNCTION pgdumpd.note_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    details jsonb;
BEGIN
    IF NEW.state = 'running' THEN
        PERFORM pgdumpd.notify_receivers('started', NEW.target, NEW.id, jsonb_build_object('attempt', NEW.attempt));
        RETURN NULL;
    END IF;
    IF NEW.state = 'succeeded' THEN
        details := jsonb_build_object(
            'size_bytes', NEW.size_bytes, 'seconds', round(extract(epoch FROM NEW.finished_at - NEW.started_at), 3),
            'attempt', NEW.attempt, 'warnings', NEW.warnings_total);
        PERFORM pgdumpd.notify_receivers('succeeded', NEW.target, NEW.id, details);
        DELETE FROM pgdumpd.alerts AS a WHERE a.kind IN ('failed', 'overdue') AND a.subject = NEW.target;
        IF FOUND THEN
            PERFORM pgdumpd.notify_receivers('recovered', NEW.target, NEW.id, details);
        END IF;
        RETURN NULL;
    END IF;
    details := jsonb_build_object(
        'step', NEW.error_step, 'code', NEW.error_code, 'error', left(NEW.error, 4000), 'hint', NEW.error_hint,
        'attempt', NEW.attempt);
    IF NEW.kind = 'copy' THEN
        PERFORM pgdumpd.notify_receivers('copy_failed', NEW.target, NEW.id,
                                         details || jsonb_build_object('copy_of', NEW.copy_of, 'copy_to', NEW.copy_to));
    ELSE
        INSERT INTO pgdumpd.alerts (kind, subject) VALUES ('failed', NEW.target) ON CONFLICT DO NOTHING;
        PERFORM pgdumpd.notify_receivers('failed', NEW.target, NEW.id, details);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION pgdumpd.note_event() FROM PUBLIC;
CREATE TRIGGER note_event AFTER UPDATE OF state ON pgdumpd.backup_jobs
    FOR EACH ROW WHEN (NEW.state <> OLD.state AND (NEW.state = 'failed' OR NEW.kind = 'backup' AND NEW.state IN ('running', 'succeeded')))
    EXECUTE FUNCTION pgdumpd.note_event();

-- The same as in migration 15, and these tables.
CREATE OR REPLACE FUNCTION pgdumpd.grant_daemon(grantee name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM pgdumpd.take_rights(grantee, '{readers_see_all_rows,daemons_write_all_rows}');
    PERFORM pgdumpd.add_operator_rights(grantee);
    EXECUTE format('GRANT UPDATE (state, run_at, attempt, rescues, lease_token, worker_id, lease_expires_at, started_at, finished_at,
                                  phase, progress, message, current_table, tables_done, tables_total, rows_done, rows_expected, bytes_dumped,
                                  bytes_stored, estimated_end, progress_at, error_step, error_code, error, error_hint,
                                  warnings, warnings_total, size_bytes, sha256)
                    ON pgdumpd.backup_jobs TO %I', grantee);
    -- Whoever may write these two columns may ask for a copy.
    EXECUTE format('GRANT INSERT (copy_of, copy_to) ON pgdumpd.backup_jobs TO %I', grantee);
    EXECUTE format('GRANT INSERT, UPDATE ON pgdumpd.backup_attempts, pgdumpd.backup_copies TO %I', grantee);
    EXECUTE format('GRANT INSERT ON pgdumpd.backup_deletions TO %I', grantee);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON pgdumpd.workers, pgdumpd.schedules TO %I', grantee);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON pgdumpd.receivers, pgdumpd.notifications, pgdumpd.alerts TO %I', grantee);
    EXECUTE format('GRANT INSERT ON pgdumpd.watched_targets TO %I', grantee);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.notify_receivers(text, text, uuid, jsonb) TO %I', grantee);
    -- For `pgdumpd adopt`.
    EXECUTE format('GRANT UPDATE (id, adopted_at) ON pgdumpd.queue TO %I', grantee);
    PERFORM pgdumpd.add_to_policy('daemons_write_all_rows', 'UPDATE', grantee);
END
$$;

-- Whoever may write the daemons' table is a daemon; whoever may read it reads these.
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT DISTINCT r.rolname, a.privilege_type
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE c.oid = 'pgdumpd.workers'::regclass AND a.grantee <> c.relowner AND a.privilege_type IN ('SELECT', 'INSERT')
    LOOP
        IF held.privilege_type = 'SELECT' THEN
            EXECUTE format('GRANT SELECT ON pgdumpd.receivers, pgdumpd.notifications, pgdumpd.alerts, pgdumpd.watched_targets TO %I', held.rolname);
        ELSE
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON pgdumpd.receivers, pgdumpd.notifications, pgdumpd.alerts TO %I', held.rolname);
            EXECUTE format('GRANT INSERT ON pgdumpd.watched_targets TO %I', held.rolname);
            EXECUTE format('GRANT EXECUTE ON FUNCTION pgdumpd.notify_receivers(text, text, uuid, jsonb) TO %I', held.rolname);
        END IF;
    END LOOP;
END
$$;

-- Asks pgdumpd for a backup and follows it to its end:
--   psql "$DATABASE_URL" -v target=shop < backup.sql
--   psql "$DATABASE_URL" -v target=shop -v cancel=yes < backup.sql    cancels it as soon as it runs
-- psql ends with 0 if the backup succeeded, with 3 if not.
\set ON_ERROR_STOP on
\set QUIET on
\set SHOW_CONTEXT never
\pset footer off
\if :{?target} \else
    \warn 'usage: psql "$DATABASE_URL" -v target=NAME [-v cancel=yes] < backup.sql'
    DO $$ BEGIN RAISE EXCEPTION 'no target was given'; END $$;
\endif
\if :{?cancel} \else
    \set cancel no
\endif

-- Put this into the transaction whose data the backup is about: it stands or falls with the commit.
BEGIN;
SELECT job_id, is_new FROM pgdumpd.enqueue_backup(target => :'target', spec => '{"label": "from psql"}') \gset
COMMIT;
\echo job :job_id

-- psql has no loops, and its variables do not reach into a DO block: settings of the session do.
SELECT set_config('example.job', :'job_id', false) AS job, set_config('example.cancel', :'cancel', false) AS cancel \gset
DO $$
DECLARE
    the_job     uuid    := current_setting('example.job');
    to_cancel   boolean := current_setting('example.cancel');
    status      record;
    line        text;
    printed     text;
BEGIN
    LOOP
        SELECT * INTO STRICT status FROM pgdumpd.backup_status WHERE id = the_job;
        line := format('%s %%  %s  %s', to_char(status.progress, '990.0'), rpad(status.state, 9),
                       coalesce(status.message, status.waits_because));
        IF line IS DISTINCT FROM printed THEN
            RAISE INFO '%', line;
            printed := line;
        END IF;
        IF status.state = 'failed' THEN
            RAISE EXCEPTION '%: %', status.error_step, status.error
                USING HINT = coalesce(status.error_hint, 'See the daemon''s log.');
        END IF;
        IF status.state = 'cancelled' THEN
            RAISE EXCEPTION 'the backup was cancelled';
        END IF;
        EXIT WHEN status.state = 'succeeded';
        IF to_cancel AND status.state = 'running' THEN
            RAISE INFO 'cancel: %', pgdumpd.cancel_backup(the_job);
            to_cancel := false;
        END IF;
        -- Makes the cancel visible, and leaves no transaction open while this waits.
        COMMIT;
        PERFORM pg_sleep(0.5);
    END LOOP;
END
$$;

SELECT target, size_bytes, elapsed, copies, sha256
FROM pgdumpd.backup_status
WHERE id = :'job_id';

-- A role keeps a bounded number of backups: one that asks for them without end fills no storage.

-- Whose backup each storage holds: the role that asked for it. Written here, not by daemons, so that those of before this
-- migration need not know of it. Rows of what was deleted need it only where the backup comes back.
ALTER TABLE pgdumpd.backup_copies ADD COLUMN requested_by text;
UPDATE pgdumpd.backup_copies AS c SET requested_by = j.requested_by
FROM pgdumpd.backup_jobs AS j WHERE j.id = c.job_id AND c.state <> 'deleted';
CREATE OR REPLACE FUNCTION pgdumpd.complete_backup_copy() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    SELECT j.target, j.requested_by INTO NEW.target, NEW.requested_by
    FROM pgdumpd.backup_jobs AS j WHERE j.id = NEW.job_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER complete_returned_copy BEFORE UPDATE OF state ON pgdumpd.backup_copies
    FOR EACH ROW WHEN (NEW.requested_by IS NULL AND NEW.state <> 'deleted')
    EXECUTE FUNCTION pgdumpd.complete_backup_copy();
CREATE INDEX backup_copies_kept_of ON pgdumpd.backup_copies (requested_by, job_id) WHERE state <> 'deleted';

-- A row that the owner had made says nothing of kept backups. It goes on as if there were none for them: those that operate on all
-- jobs keep any number, the others as many as every role. A row that is made from now on without a number has the same one.
ALTER TABLE pgdumpd.quotas
    ADD COLUMN kept_backups integer CONSTRAINT quotas_kept_backups_is_not_negative CHECK (kept_backups >= 0);
UPDATE pgdumpd.quotas AS q SET kept_backups = 1000
WHERE q.requested_by NOT IN (
    SELECT r.rolname FROM pg_catalog.pg_roles AS r
    WHERE has_function_privilege(r.oid, 'pgdumpd.operate_on_all_jobs()', 'EXECUTE'));
ALTER TABLE pgdumpd.quotas ALTER COLUMN kept_backups SET DEFAULT 1000;
COMMENT ON TABLE pgdumpd.quotas IS
    'How many backups a role may have queued, and how many kept in storages; NULL: any number. The row * is for roles without one; those that operate on all jobs may have any number then.';

-- The same as in migration 13, and what is kept. Both are counted no further than the quota, each by its own index, whatever the
-- planner takes the tables for: no other has the order that is asked for, and nothing may be sorted or hashed. What is queued
-- already is not counted with what is kept: with keep_last most of it will replace an older backup.
CREATE OR REPLACE FUNCTION pgdumpd.keep_to_the_quota() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashagg = off
    AS $$
DECLARE
    own     text := session_user;
    allowed pgdumpd.quotas;
    queued  bigint;
    kept    bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM new_jobs AS n WHERE n.requested_by = own AND n.state = 'queued' AND n.kind = 'backup') THEN
        RETURN NULL;
    END IF;
    SELECT * INTO allowed FROM pgdumpd.quotas AS q WHERE q.requested_by = own;
    IF NOT FOUND AND NOT pgdumpd.operates_on_all_jobs() THEN
        SELECT * INTO allowed FROM pgdumpd.quotas AS q WHERE q.requested_by = '*';
    END IF;
    IF allowed.queued_jobs IS NOT NULL THEN
        SELECT count(*) INTO queued
        FROM (SELECT FROM pgdumpd.backup_jobs AS j
              WHERE j.requested_by = own AND j.state = 'queued' AND j.kind = 'backup' LIMIT allowed.queued_jobs::bigint + 1) AS counted;
        IF queued > allowed.queued_jobs THEN
            RAISE EXCEPTION 'role "%" may have % queued backup jobs', own, allowed.queued_jobs
                USING ERRCODE = 'configuration_limit_exceeded',
                      HINT = 'Wait until some have begun, or cancel some. The owner of the queue may allow more in the table pgdumpd.quotas.';
        END IF;
    END IF;
    IF allowed.kept_backups IS NOT NULL THEN
        SELECT count(*) INTO kept
        FROM (SELECT DISTINCT c.requested_by, c.job_id
              FROM pgdumpd.backup_copies AS c
              -- The same as =, but in the order of the index that is meant.
              WHERE c.requested_by >= own AND c.requested_by <= own AND c.state <> 'deleted'
              ORDER BY c.requested_by, c.job_id
              LIMIT allowed.kept_backups) AS counted;
        IF kept >= allowed.kept_backups THEN
            RAISE EXCEPTION 'role "%" may keep % backups, and has as many', own, allowed.kept_backups
                USING ERRCODE = 'configuration_limit_exceeded',
                      HINT = 'Delete some with pgdumpd delete. With keep_last in the target''s configuration its older ones go after each success. The owner of the queue may allow more in the table pgdumpd.quotas.';
        END IF;
    END IF;
    RETURN NULL;
END
$$;

-- A role that sees its own jobs alone lists those of one target, and those that failed, without reading all of its own or all of others.

-- Partial, though every role has a name: only the view's second branch says so, too. The first one would skip from role to
-- role in it (PostgreSQL 18 can), and then sort a whole target.
CREATE INDEX backup_jobs_requested_by_target ON pgdumpd.backup_jobs (requested_by, target, created_at, id) WHERE requested_by <> '';
CREATE INDEX backup_jobs_unsuccessful_of ON pgdumpd.backup_jobs (requested_by, created_at, id)
    WHERE state IN ('failed', 'cancelled') AND requested_by <> '';
-- Those of migration 12, for the same reason.
DROP INDEX pgdumpd.backup_jobs_requested_by, pgdumpd.backup_jobs_open_requested_by, pgdumpd.backup_jobs_copies_requested_by;
CREATE INDEX backup_jobs_requested_by ON pgdumpd.backup_jobs (requested_by, created_at, id) WHERE requested_by <> '';
CREATE INDEX backup_jobs_open_requested_by ON pgdumpd.backup_jobs (requested_by, created_at, id)
    WHERE state IN ('queued', 'running') AND requested_by <> '';
CREATE INDEX backup_jobs_copies_requested_by ON pgdumpd.backup_jobs (requested_by, created_at, id)
    WHERE kind = 'copy' AND requested_by <> '';

-- The same as in migration 15, and that a role's name is not empty.
CREATE OR REPLACE VIEW pgdumpd.visible_jobs WITH (security_barrier) AS
SELECT j.*
FROM (
    -- Two branches, of which one is always empty: of an OR no index could be used. Each has its order, for the same reason.
    --
    -- Every row lies between the two infinities. The planner does not know that, and so takes the rows for few: it then
    -- follows an index in the order above, instead of reading and sorting a whole target for a LIMIT that it cannot see from here.
    (SELECT a.* FROM pgdumpd.backup_jobs AS a
     WHERE (SELECT pgdumpd.sees_all_jobs())
       AND a.created_at BETWEEN (SELECT timestamptz '-infinity') AND (SELECT timestamptz 'infinity')
     ORDER BY a.created_at DESC, a.id DESC)
    UNION ALL
    (SELECT o.* FROM pgdumpd.backup_jobs AS o
     -- session_user is a name, whose collation is not that of the index.
     WHERE o.requested_by = session_user::text COLLATE "default" AND o.requested_by <> '' AND NOT (SELECT pgdumpd.sees_all_jobs())
       AND o.created_at BETWEEN (SELECT timestamptz '-infinity') AND (SELECT timestamptz 'infinity')
     ORDER BY o.created_at DESC, o.id DESC)
) AS j
ORDER BY j.created_at DESC, j.id DESC;

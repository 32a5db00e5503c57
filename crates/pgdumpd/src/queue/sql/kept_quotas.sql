-- The roles that have 80 % or more of the backups that they may keep, as the trigger keep_to_the_quota counts them.
WITH RECURSIVE keeping (requested_by) AS (
    -- From one role to the next in an index, not over the copies.
    (SELECT c.requested_by FROM pgdumpd.backup_copies AS c WHERE c.state <> 'deleted' ORDER BY c.requested_by LIMIT 1)
    UNION ALL
    SELECT (SELECT c.requested_by FROM pgdumpd.backup_copies AS c
            WHERE c.state <> 'deleted' AND c.requested_by > k.requested_by ORDER BY c.requested_by LIMIT 1)
    FROM keeping AS k
    WHERE k.requested_by IS NOT NULL
), bound AS MATERIALIZED (
    SELECT k.requested_by,
           CASE WHEN own.requested_by IS NOT NULL THEN own.kept_backups ELSE others.kept_backups END::bigint AS allowed
    FROM keeping AS k
    -- A role that is gone asks for nothing.
    JOIN pg_catalog.pg_roles AS r ON r.rolname = k.requested_by
    LEFT JOIN pgdumpd.quotas AS own ON own.requested_by = k.requested_by
    LEFT JOIN pgdumpd.quotas AS others ON others.requested_by = '*'
        AND NOT has_function_privilege(r.oid, 'pgdumpd.operate_on_all_jobs()', 'EXECUTE')
)
SELECT b.requested_by, counted.kept, b.allowed
FROM bound AS b
CROSS JOIN LATERAL (
    SELECT count(*) AS kept
    FROM (SELECT DISTINCT c.requested_by, c.job_id
          FROM pgdumpd.backup_copies AS c
          -- The same as =, but in the order of one index alone, which is read no further than the quota.
          WHERE c.requested_by >= b.requested_by AND c.requested_by <= b.requested_by AND c.state <> 'deleted'
          ORDER BY c.requested_by, c.job_id
          LIMIT b.allowed) AS no_further
) AS counted
WHERE b.allowed IS NOT NULL AND counted.kept * 5 >= b.allowed * 4
ORDER BY b.requested_by

-- $1 names (a null takes all). One row for each target that a daemon serves which is alive, or that has a backup, by name.
SELECT
    target,
    COALESCE(daemons, 0) AS daemons,
    last_success_id,
    last_success_at
FROM pgdumpd.served_targets
FULL JOIN pgdumpd.target_status USING (target)
WHERE $1::text[] IS NULL OR target = ANY ($1::text[])
ORDER BY target

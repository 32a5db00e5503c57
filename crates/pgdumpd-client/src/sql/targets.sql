-- No parameter. One row for each target that a daemon serves which is alive: its name, and how many do. By name.
SELECT target, daemons
FROM pgdumpd.served_targets
ORDER BY target

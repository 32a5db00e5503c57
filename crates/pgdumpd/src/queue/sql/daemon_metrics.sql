-- How many daemons there are in each state, for monitoring: 0 is a number, too.
SELECT s.state, count(*) FILTER (WHERE d.state IS NOT NULL) AS daemons
FROM (VALUES ('alive'), ('stopping'), ('gone')) AS s (state)
LEFT JOIN pgdumpd.daemon_status AS d ON d.state = s.state
GROUP BY s.state
ORDER BY s.state

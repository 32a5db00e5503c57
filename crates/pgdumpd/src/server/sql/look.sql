-- How the sessions called $1 fare; the one that waits for a lock, if any does.
SELECT session.pid,
       coalesce(session.wait_event_type = 'Lock', false) AS waits,
       pg_catalog.convert_to(wanted.relation, names.encoding) AS relation,
       wanted.since_epoch_us,
       coalesce(blocking.blockers, '[]') AS blockers,
       progress.bytes_processed AS copy_bytes
FROM pg_catalog.pg_stat_activity AS session
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)
LEFT JOIN LATERAL (
    SELECT coalesce(schema.nspname || '.' || class.relname, 'a ' || held.locktype) AS relation,
           (extract(epoch FROM held.waitstart) * 1000000)::int8 AS since_epoch_us
    FROM pg_catalog.pg_locks AS held
    LEFT JOIN pg_catalog.pg_class AS class ON class.oid = held.relation
    LEFT JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
    WHERE held.pid = session.pid AND NOT held.granted
      -- pg_locks stops the lock manager for a moment: only ask it about a session that waits.
      AND session.wait_event_type = 'Lock'
    LIMIT 1
) AS wanted ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'pid', blocker.pid,
               'user', CASE WHEN names.encoding = 'SQL_ASCII'
                            THEN encode(convert_to(other.usename::text, names.encoding), 'escape')
                            ELSE other.usename::text END,
               'state', other.state,
               -- JSON is UTF-8; octal numbers stand for what need not be.
               'query', CASE WHEN names.encoding = 'SQL_ASCII'
                             THEN encode(convert_to(left(other.query, 500), names.encoding), 'escape')
                             ELSE left(other.query, 500) END)) AS blockers
    -- A prepared transaction has the pid 0, and parallel workers repeat their leader's.
    FROM (SELECT DISTINCT pid FROM unnest(pg_catalog.pg_blocking_pids(session.pid)) AS pid LIMIT 5) AS blocker
    LEFT JOIN pg_catalog.pg_stat_activity AS other ON other.pid = blocker.pid
    WHERE session.wait_event_type = 'Lock'
) AS blocking ON true
LEFT JOIN pg_catalog.pg_stat_progress_copy AS progress ON progress.pid = session.pid
WHERE session.application_name = ANY ($1)
  AND session.usename = session_user
ORDER BY waits DESC
LIMIT 1

SELECT pg_catalog.current_setting('server_version_num')::int4 AS number,
       pg_catalog.current_setting('server_version') AS version,
       -- Of the database that is asked, not of the server.
       pg_catalog.current_setting('server_encoding') AS encoding,
       -- ALTER ROLE ... SET role makes another role of the one that logs in.
       session_user <> current_user AS becomes_another,
       -- Whether that one sees and ends the sessions of the one that logged in.
       pg_catalog.pg_has_role(session_user, 'USAGE') AS owns_its_sessions,
       -- Of a standby: what recovery has ended so far.
       (SELECT sum(confl_tablespace + confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock)::int8
        FROM pg_catalog.pg_stat_database_conflicts
        WHERE datname = pg_catalog.current_database() AND pg_catalog.pg_is_in_recovery()) AS recovery_conflicts,
       -- Tells one run of the server from the next.
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::float8 AS started

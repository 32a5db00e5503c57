SELECT pg_catalog.current_setting('server_version_num')::int4,
       pg_catalog.current_setting('server_version'),
       -- Of the database that is asked, not of the server.
       pg_catalog.current_setting('server_encoding'),
       -- ALTER ROLE ... SET role makes another role of the one that logs in.
       session_user <> current_user AS becomes_another,
       -- Whether that one sees and ends the sessions of the one that logged in.
       pg_catalog.pg_has_role(session_user, 'USAGE') AS owns_its_sessions

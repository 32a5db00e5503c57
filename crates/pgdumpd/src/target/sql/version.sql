SELECT pg_catalog.current_setting('server_version_num')::int4,
       pg_catalog.current_setting('server_version'),
       -- Of the database that is asked, not of the server.
       pg_catalog.current_setting('server_encoding')

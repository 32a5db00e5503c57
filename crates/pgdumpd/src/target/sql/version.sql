SELECT pg_catalog.current_setting('server_version_num')::int4,
       pg_catalog.current_setting('server_version')

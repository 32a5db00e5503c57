SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS number,
       pg_catalog.current_setting('server_version') AS version,
       pg_catalog.current_setting('server_encoding') AS encoding,
       pg_catalog.pg_is_in_recovery() AS is_standby,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_create

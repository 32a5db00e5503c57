-- Of all of them together: how many one entry of the archive holds differs from version to version.
SELECT pg_catalog.pg_table_size('pg_catalog.pg_largeobject')

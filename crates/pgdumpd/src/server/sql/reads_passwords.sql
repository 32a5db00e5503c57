-- Whether this role may read the roles' passwords, as pg_dumpall does.
SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS reads_passwords

-- Whether this role may make the rows of jobs that have ended, and is shown all that are there.
SELECT has_table_privilege('pgdumpd.backup_jobs', 'INSERT')
       AND has_table_privilege('pgdumpd.backup_attempts', 'INSERT')
       AND has_table_privilege('pgdumpd.backup_copies', 'INSERT')
       AND NOT row_security_active('pgdumpd.backup_jobs') AS allowed

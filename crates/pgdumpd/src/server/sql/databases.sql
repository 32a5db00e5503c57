SELECT datname::text
FROM pg_catalog.pg_database
WHERE datallowconn
  AND NOT datistemplate
  -- -2 marks a database whose DROP was interrupted.
  AND datconnlimit <> -2
  AND pg_catalog.has_database_privilege(oid, 'CONNECT')
ORDER BY datname

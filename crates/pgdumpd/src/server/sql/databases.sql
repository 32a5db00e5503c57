-- As bytes: the names of other databases may be in any encoding, and one must not hide the others.
SELECT pg_catalog.decode(pg_catalog.replace(datname::text, chr(92), chr(92) || chr(92)), 'escape')
FROM pg_catalog.pg_database
WHERE datallowconn
  AND NOT datistemplate
  -- -2 marks a database whose DROP was interrupted.
  AND datconnlimit <> -2
  AND pg_catalog.has_database_privilege(oid, 'CONNECT')
ORDER BY datname

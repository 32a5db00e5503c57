-- What each table is called and what its file is, once the dump of the session $1 has its locks.
SELECT class.oid::int8 AS oid,
       class.relfilenode::int8 AS file_node,
       class.reltablespace::int8 AS tablespace,
       schema.oid::int8 AS schema_oid,
       pg_catalog.convert_to(schema.nspname::text, names.encoding) AS schema,
       pg_catalog.convert_to(class.relname::text, names.encoding) AS name,
       -- A new file begins uncounted; VACUUM FULL and CLUSTER write down what they moved into it.
       class.reltuples < 0 AS uncounted,
       -- Whether the dump had its locks when this statement began: it was there afterwards.
       dump.age IS NOT NULL AS locked,
       -- Whether the row's last change was over before the dump's snapshot began: a transaction older than any that
       -- the snapshot saw running. Not known once the session is gone.
       coalesce(age(class.xmin) > dump.age, false) AS older_than_dump
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)
CROSS JOIN (
    -- Parallel workers show their leader's name; the oldest counts.
    SELECT max(age(session.backend_xmin)) AS age
    FROM pg_catalog.pg_stat_activity AS session
    WHERE session.application_name = $1 AND session.usename = session_user
) AS dump
-- What COPY can have read under a table's name.
WHERE class.relkind IN ('r', 'm')
  AND class.relpersistence <> 't'
  AND class.oid >= 16384

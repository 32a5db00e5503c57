-- What each schema is called at this moment.
SELECT schema.oid::int8 AS oid, pg_catalog.convert_to(schema.nspname::text, names.encoding) AS name
FROM pg_catalog.pg_namespace AS schema
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)

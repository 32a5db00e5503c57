-- What a dump of the whole database must define, as pg_dump chooses it: what belongs to an extension is made by that
-- extension, and schemas of the system are not dumped.
SELECT class.oid::int8 AS oid,
       class.relnamespace::int8 AS schema_oid,
       class.relkind::text AS kind,
       class.relpersistence = 'u' AS is_unlogged,
       -- A sequence that belongs to a column goes with its table.
       coalesce(owner.oid, 0)::int8 AS owner_oid,
       pg_catalog.convert_to(schema.nspname::text, names.encoding) AS schema,
       pg_catalog.convert_to(class.relname::text, names.encoding) AS name
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)
LEFT JOIN LATERAL (
    SELECT dependency.refobjid AS oid
    FROM pg_catalog.pg_depend AS dependency
    WHERE class.relkind = 'S'
      AND dependency.classid = 'pg_catalog.pg_class'::regclass
      AND dependency.objid = class.oid
      AND dependency.refclassid = 'pg_catalog.pg_class'::regclass
      AND dependency.deptype IN ('a', 'i')
    LIMIT 1
) AS owner ON true
WHERE class.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND class.relpersistence <> 't'
  AND left(schema.nspname::text, 3) <> 'pg_'
  AND schema.nspname NOT IN ('information_schema', 'pgdumpd')
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend AS dependency
      WHERE dependency.classid = 'pg_catalog.pg_class'::regclass
        AND dependency.objid = class.oid
        AND dependency.deptype = 'e')
ORDER BY class.oid

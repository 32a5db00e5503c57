-- What pg_dump would be refused, by kind: how many, and a few by name.
WITH dumped AS (
    SELECT class.oid, class.relkind, class.relrowsecurity, class.relnamespace,
           format('%I.%I', schema.nspname, class.relname) AS name
    FROM pg_catalog.pg_class AS class
    JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
    WHERE class.relkind IN ('r', 'p', 'S')
      AND class.relpersistence <> 't'
      AND schema.nspname NOT IN ('pg_catalog', 'information_schema', 'pgdumpd')
      -- What belongs to an extension is made anew by it, but for what it calls its configuration.
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend AS dependency
          LEFT JOIN pg_catalog.pg_extension AS extension
              ON dependency.refclassid = 'pg_catalog.pg_extension'::regclass AND extension.oid = dependency.refobjid
          WHERE dependency.classid = 'pg_catalog.pg_class'::regclass
            AND dependency.objid = class.oid
            AND dependency.deptype = 'e'
            AND NOT class.oid = ANY (coalesce(extension.extconfig, '{}')))
),
refused AS (
    SELECT 'schema' AS kind, name
    FROM dumped
    WHERE NOT has_schema_privilege(relnamespace, 'USAGE')
    UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, name
    FROM dumped
    WHERE has_schema_privilege(relnamespace, 'USAGE')
      AND NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT')
                           ELSE has_table_privilege(oid, 'SELECT') END
    UNION ALL
    SELECT 'row_security', name
    FROM dumped
    WHERE relkind = 'r' AND relrowsecurity AND row_security_active(oid)
)
SELECT kind,
       count(*) AS total,
       (array_agg(pg_catalog.convert_to(name, names.encoding) ORDER BY name))[1:5] AS examples
FROM refused
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)
GROUP BY kind
-- pg_dump needs the right to read a table before its rows: a dump fails for the one that comes first here.
ORDER BY kind = 'row_security', kind

-- Rows that no dump of this database holds, by kind: in how many tables, and a few by name.
WITH left_out AS (
    -- They lie on other servers; a partition may be one.
    SELECT 'foreign' AS kind, class.relnamespace, class.relname
    FROM pg_catalog.pg_class AS class
    WHERE class.relkind = 'f'
    UNION ALL
    -- A standby has none: they are not in the log that it follows.
    SELECT 'unlogged', class.relnamespace, class.relname
    FROM pg_catalog.pg_class AS class
    WHERE class.relkind = 'r' AND class.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()
    UNION ALL
    -- Of an extension's tables pg_dump takes the rows only of those that the extension calls its configuration.
    SELECT 'extension', class.relnamespace, class.relname
    FROM pg_catalog.pg_class AS class
    JOIN pg_catalog.pg_depend AS dependency
        ON dependency.classid = 'pg_catalog.pg_class'::regclass
       AND dependency.objid = class.oid
       AND dependency.refclassid = 'pg_catalog.pg_extension'::regclass
       AND dependency.deptype = 'e'
    JOIN pg_catalog.pg_extension AS extension ON extension.oid = dependency.refobjid
    WHERE class.relkind = 'r'
      AND class.relpersistence <> 't'
      -- Analysed or vacuumed with rows, or written since the server counts.
      AND (class.reltuples > 0 OR pg_catalog.pg_stat_get_live_tuples(class.oid) > 0)
      AND NOT class.oid = ANY (coalesce(extension.extconfig, '{}'))
    UNION ALL
    -- pg_dump dumps no schema of the system, whoever made a table there.
    SELECT 'system', class.relnamespace, class.relname
    FROM pg_catalog.pg_class AS class
    JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
    WHERE class.relkind = 'r'
      -- The first oid that is not the system's own.
      AND class.oid >= 16384
      AND schema.nspname IN ('pg_catalog', 'information_schema')
)
SELECT kind,
       pg_catalog.count(*) AS total,
       (pg_catalog.array_agg(pg_catalog.convert_to(name, names.encoding) ORDER BY name))[1:5] AS examples
FROM (
    SELECT left_out.kind, pg_catalog.format('%I.%I', schema.nspname, left_out.relname) AS name
    FROM left_out
    JOIN pg_catalog.pg_namespace AS schema ON schema.oid = left_out.relnamespace
) AS named
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)
GROUP BY kind
ORDER BY kind

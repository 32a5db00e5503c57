-- The same from the catalog alone, which waits for no table's lock; 0 pages until the first vacuum or analyse.
SELECT pg_catalog.convert_to(schema.nspname::text, names.encoding) AS schema,
       pg_catalog.convert_to(class.relname::text, names.encoding) AS name,
       class.oid::int8 AS oid,
       (class.relpages + coalesce(toast.relpages, 0))::int8
           * pg_catalog.current_setting('block_size')::int8 AS bytes,
       CASE WHEN class.reltuples >= 0 THEN class.reltuples::int8
            ELSE nullif(pg_catalog.pg_stat_get_live_tuples(class.oid), 0) END AS estimated_rows
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
LEFT JOIN pg_catalog.pg_class AS toast ON toast.oid = class.reltoastrelid
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)
WHERE class.relkind = 'r'
  AND class.relpersistence <> 't'
  AND schema.nspname NOT IN ('pg_catalog', 'information_schema', 'pgdumpd')
ORDER BY class.oid

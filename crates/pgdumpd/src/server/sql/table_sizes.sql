-- Tables with rows of their own: partitioned ones have none, foreign ones are not dumped.
SELECT pg_catalog.convert_to(schema.nspname::text, names.encoding) AS schema,
       pg_catalog.convert_to(class.relname::text, names.encoding) AS name,
       class.oid::int8 AS oid,
       coalesce(pg_catalog.pg_table_size(class.oid), 0) AS bytes,
       -- -1 until the table was analysed for the first time; what the server counted as it wrote stands in till then.
       CASE WHEN class.reltuples >= 0 THEN class.reltuples::int8
            ELSE nullif(pg_catalog.pg_stat_get_live_tuples(class.oid), 0) END AS estimated_rows
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
-- As bytes: where a database does not know its encoding, names need not be UTF-8.
CROSS JOIN (SELECT (CASE pg_catalog.current_setting('server_encoding') WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name) AS names (encoding)
WHERE class.relkind = 'r'
  AND class.relpersistence <> 't'
  AND schema.nspname NOT IN ('pg_catalog', 'information_schema', 'pgdumpd')
ORDER BY class.oid

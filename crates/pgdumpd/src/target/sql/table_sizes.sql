-- Tables with rows of their own: partitioned ones have none, foreign ones are not dumped.
SELECT schema.nspname::text AS schema,
       class.relname::text AS name,
       class.oid::int8 AS oid,
       coalesce(pg_catalog.pg_table_size(class.oid), 0) AS bytes,
       -- -1 until the table was analysed for the first time; what the server counted as it wrote stands in till then.
       CASE WHEN class.reltuples >= 0 THEN class.reltuples::int8
            ELSE nullif(pg_catalog.pg_stat_get_live_tuples(class.oid), 0) END AS estimated_rows
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
WHERE class.relkind = 'r'
  AND class.relpersistence <> 't'
  AND schema.nspname NOT IN ('pg_catalog', 'information_schema', 'pgdumpd')
ORDER BY class.oid

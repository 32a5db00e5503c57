-- What the file of each table is before it is dumped, and whether it has no byte.
SELECT class.oid::int8 AS oid,
       class.relfilenode::int8 AS file_node,
       class.reltablespace::int8 AS tablespace,
       -- Reading a size needs a lock on the table, so one that is held or asked for exclusively is left alone: whether
       -- that table is empty is not known. Neither is it asked of tables that had pages when they were last counted.
       CASE WHEN NOT $1 OR class.relpages > 0 OR exclusive.relation IS NOT NULL THEN false
            ELSE coalesce(pg_catalog.pg_relation_size(class.oid) = 0, false) END AS empty
FROM pg_catalog.pg_class AS class
LEFT JOIN (
    SELECT DISTINCT held.relation
    FROM pg_catalog.pg_locks AS held
    JOIN pg_catalog.pg_database AS here ON here.oid = held.database
    WHERE held.locktype = 'relation'
      AND held.mode = 'AccessExclusiveLock'
      AND here.datname = pg_catalog.current_database()
) AS exclusive ON exclusive.relation = class.oid
WHERE class.relkind = 'r'
  AND class.relpersistence <> 't'
  -- The catalogs themselves. An extension may have tables of its own in any schema.
  AND class.oid >= 16384

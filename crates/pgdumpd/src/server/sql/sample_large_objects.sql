-- The sizes and beginnings of some large objects, for a role that may read these but not the catalog that holds them:
-- at most $1 of them, $2 bytes of each.
SELECT pg_catalog.count(*)::int8 AS objects,
       -- 262144 opens to read, 2 seeks from the end: where that is, is the size.
       coalesce(pg_catalog.sum(pg_catalog.lo_lseek64(pg_catalog.lo_open(chosen.oid, 262144), 0, 2)), 0)::int8 AS raw_bytes,
       coalesce(pg_catalog.string_agg(pg_catalog.lo_get(chosen.oid, 0, $2), ''), '') AS bytes
FROM (
    SELECT metadata.oid
    FROM pg_catalog.pg_largeobject_metadata AS metadata
    ORDER BY pg_catalog.random()
    LIMIT $1
) AS chosen

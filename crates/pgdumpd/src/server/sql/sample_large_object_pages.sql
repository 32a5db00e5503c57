-- What is in at most $2 pages of large objects from each of the blocks $1. Needs SELECT on the catalog.
SELECT coalesce(pg_catalog.string_agg(page.data, ''), '') AS bytes
FROM pg_catalog.unnest($1::int8[]) AS block (number)
CROSS JOIN LATERAL (
    SELECT t.data
    FROM pg_catalog.pg_largeobject AS t
    WHERE t.ctid >= pg_catalog.format('(%s,0)', block.number)::pg_catalog.tid
      AND t.ctid < pg_catalog.format('(%s,0)', block.number + 1)::pg_catalog.tid
    LIMIT $2
) AS page

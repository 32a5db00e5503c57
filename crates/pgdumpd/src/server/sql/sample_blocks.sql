-- The rows in the blocks $1 of a table, the squares of these numbers, and the bytes that the rows take on disk, TOAST's
-- included. Nothing is decompressed and no TOAST is read. Places are filled in.
SELECT coalesce(pg_catalog.sum(block.rows), 0)::int8 AS rows,
       coalesce(pg_catalog.sum(block.rows * block.rows), 0)::float8 AS squares,
       coalesce(pg_catalog.sum(block.stored), 0)::int8 AS stored_bytes
FROM (
    SELECT found.rows, found.stored
    FROM pg_catalog.unnest($1::int8[]) AS block (number)
    -- An aggregate, which keeps the planner from joining instead: that would read the whole table.
    CROSS JOIN LATERAL (
        SELECT pg_catalog.count(*) AS rows, pg_catalog.sum({stored}) AS stored
        FROM ONLY {table} AS t
        WHERE t.ctid >= pg_catalog.format('(%s,0)', block.number)::pg_catalog.tid
          AND t.ctid < pg_catalog.format('(%s,0)', block.number + 1)::pg_catalog.tid
    ) AS found
) AS block

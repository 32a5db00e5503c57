-- Rows from the blocks $1 of a table, each with the chance $2 and at most $3 of them, as COPY would write them but for
-- escapes: how long they are, how that goes with what they take on disk, and their text, at most $4 characters of each
-- and $5 together. Columns end in \x01, rows in \x02, which text rarely holds, so that whoever reads this can write the
-- escapes. Places are filled in.
SELECT pg_catalog.count(*)::int8 AS rows,
       coalesce(pg_catalog.avg(row.stored), 0)::float8 AS stored_bytes,
       coalesce(pg_catalog.avg(row.bytes), 0)::float8 AS text_bytes,
       pg_catalog.regr_slope(row.bytes, row.stored) AS text_for_stored,
       -- As bytes of the database's own encoding, which is what pg_dump writes.
       pg_catalog.convert_to(
           pg_catalog."left"(coalesce(pg_catalog.string_agg(pg_catalog."left"(row.line, $4), ''), ''), $5),
           pg_catalog.getdatabaseencoding()) AS text
FROM (
    -- A value that is NULL leaves nothing in the line; COPY writes \N and a tab.
    SELECT found.line, found.stored, pg_catalog.octet_length(found.line) + 3 * found.nulls AS bytes
    FROM pg_catalog.unnest($1::int8[]) AS block (number)
    CROSS JOIN LATERAL (
        SELECT {line} || E'\x02' AS line, {nulls} AS nulls, {stored} AS stored
        FROM ONLY {table} AS t
        WHERE t.ctid >= pg_catalog.format('(%s,0)', block.number)::pg_catalog.tid
          AND t.ctid < pg_catalog.format('(%s,0)', block.number + 1)::pg_catalog.tid
          -- By chance, not the first ones: a block of few rows would give as many as one of many.
          AND pg_catalog.random() < $2
        OFFSET 0
    ) AS found
    LIMIT $3
) AS row

-- Table $2 of schema $1, as SQL writes it, and the columns of a key by which each of its rows is known: the primary key, or
-- another one at once, of whole columns that are never NULL.
SELECT pg_catalog.format('%I.%I', n.nspname, r.relname) AS quoted,
       (SELECT (SELECT pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) ORDER BY k.place)
                FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, place)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                WHERE k.place <= i.indnkeyatts)
        FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = r.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, place)
                          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                          WHERE k.place <= i.indnkeyatts AND NOT a.attnotnull)
        ORDER BY i.indisprimary DESC, i.indexrelid
        LIMIT 1) AS key
FROM pg_catalog.pg_class AS r
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE n.nspname::pg_catalog.text = $1 AND r.relname::pg_catalog.text = $2 AND r.relkind IN ('r', 'p')

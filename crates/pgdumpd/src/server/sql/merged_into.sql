-- Table $2 of schema $1, as SQL writes it, and whether its rows can be told apart.
SELECT pg_catalog.format('%I.%I', n.nspname, r.relname) AS quoted,
       EXISTS (SELECT FROM pg_catalog.pg_index AS i
               WHERE i.indrelid = r.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL) AS has_key
FROM pg_catalog.pg_class AS r
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE n.nspname::pg_catalog.text = $1 AND r.relname::pg_catalog.text = $2 AND r.relkind IN ('r', 'p')

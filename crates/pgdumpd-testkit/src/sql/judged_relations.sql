-- What holds rows or a value of its own, with the name that a report shows.
SELECT
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
    c.relkind = 'S' AS is_sequence
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'S')
  AND c.relispopulated
  -- Temporary and TOAST relations are in schemas of such names too.
  AND n.nspname !~ '^pg_'
  -- The queue is never part of a dump.
  AND n.nspname NOT IN ('information_schema', 'pgdumpd')
ORDER BY 1

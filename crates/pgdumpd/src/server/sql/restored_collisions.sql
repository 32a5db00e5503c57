-- What of an archive the database has already: $1 the schemas and $2 the names of its objects, $3 whether it has large objects.
WITH wanted AS (SELECT w.schema, w.name FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS w (schema, name))
SELECT found.what
FROM (
    SELECT 'relation ' || n.nspname || '.' || r.relname AS what
    FROM pg_catalog.pg_class AS r JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE (n.nspname::pg_catalog.text, r.relname::pg_catalog.text) IN (SELECT w.schema, w.name FROM wanted AS w)
    UNION
    SELECT 'function ' || n.nspname || '.' || p.proname
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE (n.nspname::pg_catalog.text, p.proname::pg_catalog.text) IN (SELECT w.schema, w.name FROM wanted AS w)
    UNION
    SELECT 'type ' || n.nspname || '.' || t.typname
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('b', 'e', 'd', 'r', 'm') AND t.typelem = 0
      AND (n.nspname::pg_catalog.text, t.typname::pg_catalog.text) IN (SELECT w.schema, w.name FROM wanted AS w)
    UNION
    SELECT 'large object ' || o.oid::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata AS o WHERE $3::pg_catalog.bool
) AS found
ORDER BY found.what
LIMIT 5

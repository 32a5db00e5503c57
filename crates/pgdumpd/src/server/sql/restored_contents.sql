-- The first few things in a database that a new one does not have. What extensions made is theirs.
SELECT found.what
FROM (
    SELECT 1 AS place, 'schema ' || n.nspname AS what, n.oid, 'pg_catalog.pg_namespace'::pg_catalog.regclass AS class
    FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname <> ALL (ARRAY['public', 'information_schema', 'pgdumpd_restore']) AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 2, CASE r.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence ' ELSE 'table ' END
               || n.nspname || '.' || r.relname, r.oid, 'pg_catalog.pg_class'::pg_catalog.regclass
    FROM pg_catalog.pg_class AS r JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
    WHERE r.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> ALL (ARRAY['information_schema', 'pgdumpd_restore']) AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 3, 'function ' || n.nspname || '.' || p.proname, p.oid, 'pg_catalog.pg_proc'::pg_catalog.regclass
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname <> ALL (ARRAY['information_schema', 'pgdumpd_restore']) AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 4, 'type ' || n.nspname || '.' || t.typname, t.oid, 'pg_catalog.pg_type'::pg_catalog.regclass
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r') AND n.nspname <> ALL (ARRAY['information_schema', 'pgdumpd_restore']) AND n.nspname !~ '^pg_'
    UNION ALL
    SELECT 5, 'large object ' || o.oid::pg_catalog.text, o.oid, 'pg_catalog.pg_largeobject'::pg_catalog.regclass
    FROM pg_catalog.pg_largeobject_metadata AS o
) AS found
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.classid = found.class AND d.objid = found.oid AND d.deptype = 'e'
)
ORDER BY found.place, found.what
LIMIT 5

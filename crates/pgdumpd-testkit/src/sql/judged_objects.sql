-- What holds no rows but has to be there: one line a kind, its count and a checksum of its names.
-- Names only: the text of a definition differs from one major to the next.
WITH own AS (
    SELECT oid, nspname FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'pgdumpd')
), object (kind, name) AS (
    SELECT '(relations)', o.nspname || '.' || c.relname || ' ' || c.relkind::text
    FROM pg_catalog.pg_class AS c JOIN own AS o ON o.oid = c.relnamespace
    UNION ALL
    SELECT '(columns)', o.nspname || '.' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN own AS o ON o.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT '(constraints)', o.nspname || '.' || k.conname || ' ' || k.contype::text
    FROM pg_catalog.pg_constraint AS k JOIN own AS o ON o.oid = k.connamespace
    -- PostgreSQL 18 lists NOT NULL here, earlier ones do not.
    WHERE k.contype <> 'n'
    UNION ALL
    SELECT '(triggers)', o.nspname || '.' || c.relname || '.' || t.tgname
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN own AS o ON o.oid = c.relnamespace
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT '(routines)', o.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
    FROM pg_catalog.pg_proc AS p JOIN own AS o ON o.oid = p.pronamespace
    UNION ALL
    SELECT '(large objects)', l.oid::text || ' ' || md5(lo_get(l.oid))
    FROM pg_catalog.pg_largeobject_metadata AS l
)
SELECT kind, count(*), md5(string_agg(name, E'\n' ORDER BY name COLLATE "C"))
FROM object
GROUP BY kind

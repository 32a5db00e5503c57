-- Whose the schema is, and what is in it that its owner did not make. No row: there is no such schema. Everything is
-- qualified: a hostile search path may be set.
WITH schema AS (
    SELECT n.oid, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n WHERE n.nspname OPERATOR(pg_catalog.=) 'pgdumpd'
), objects AS (
    SELECT c.relname AS name, c.relowner AS owner
    FROM pg_catalog.pg_class AS c, schema AS s WHERE c.relnamespace OPERATOR(pg_catalog.=) s.oid
    UNION ALL
    SELECT p.proname, p.proowner
    FROM pg_catalog.pg_proc AS p, schema AS s WHERE p.pronamespace OPERATOR(pg_catalog.=) s.oid
    UNION ALL
    SELECT t.typname, t.typowner
    FROM pg_catalog.pg_type AS t, schema AS s WHERE t.typnamespace OPERATOR(pg_catalog.=) s.oid
    UNION ALL
    SELECT o.oprname, o.oprowner
    FROM pg_catalog.pg_operator AS o, schema AS s WHERE o.oprnamespace OPERATOR(pg_catalog.=) s.oid
)
SELECT pg_catalog.pg_get_userbyid(s.nspowner)::pg_catalog.text AS owner,
       CURRENT_USER::pg_catalog.text AS migrates_as,
       (SELECT pg_catalog.string_agg(
                   CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC'
                        ELSE pg_catalog.pg_get_userbyid(a.grantee)::pg_catalog.text END, ', ')
        FROM pg_catalog.aclexplode(s.nspacl) AS a
        WHERE a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
          AND a.grantee OPERATOR(pg_catalog.<>) s.nspowner) AS creators,
       (SELECT pg_catalog.count(*) FROM objects AS o) AS objects,
       (SELECT pg_catalog.min(o.name::pg_catalog.text) FROM objects AS o
        WHERE o.owner OPERATOR(pg_catalog.<>) s.nspowner) AS foreign_object,
       EXISTS (SELECT FROM pg_catalog.pg_class AS c
               WHERE c.relnamespace OPERATOR(pg_catalog.=) s.oid AND c.relkind OPERATOR(pg_catalog.=) 'r'
                 AND c.relname OPERATOR(pg_catalog.=) 'schema_migrations') AS has_history
FROM schema AS s

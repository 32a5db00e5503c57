-- Which of what an archive names the server does not have. $1 extensions, $2 roles, $3 tablespaces.
SELECT 'extension' AS kind, w.name
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS w (name)
WHERE w.name NOT IN (SELECT a.name::pg_catalog.text FROM pg_catalog.pg_available_extensions AS a)
UNION ALL
SELECT 'role', w.name
FROM pg_catalog.unnest($2::pg_catalog.text[]) AS w (name)
WHERE w.name NOT IN (SELECT r.rolname::pg_catalog.text FROM pg_catalog.pg_roles AS r)
UNION ALL
SELECT 'tablespace', w.name
FROM pg_catalog.unnest($3::pg_catalog.text[]) AS w (name)
WHERE w.name NOT IN (SELECT t.spcname::pg_catalog.text FROM pg_catalog.pg_tablespace AS t)
ORDER BY 1, 2

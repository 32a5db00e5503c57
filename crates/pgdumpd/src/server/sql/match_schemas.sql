-- What a schema pattern of pg_dump matches; $1 is its regular expression.
-- Runs with the role's own search path, so that every name is qualified.
SELECT schema.oid::pg_catalog.int8 AS oid,
       'n' AS kind
FROM pg_catalog.pg_namespace AS schema
WHERE schema.nspname OPERATOR(pg_catalog.~) pg_catalog.convert_from($1, $3::pg_catalog.name) COLLATE pg_catalog."default"
  -- The other parameters are those of tables.
  AND $2::pg_catalog.bytea IS NULL

-- What a table pattern of pg_dump matches, by pg_dump's own rules; $1 is the name's regular expression, $2 the schema's.
-- Runs with the role's own search path, so that every name is qualified.
SELECT class.oid::pg_catalog.int8 AS oid,
       class.relkind::pg_catalog.text AS kind
FROM pg_catalog.pg_class AS class
LEFT JOIN pg_catalog.pg_namespace AS schema ON schema.oid OPERATOR(pg_catalog.=) class.relnamespace
WHERE class.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'S', 'v', 'm', 'f', 'p']::pg_catalog."char"[])
  -- The database's collation decides what is a letter, as it does for pg_dump.
  AND class.relname OPERATOR(pg_catalog.~) pg_catalog.convert_from($1, $3::pg_catalog.name) COLLATE pg_catalog."default"
  AND CASE
      -- Without a schema, what the search path shows.
      WHEN $2::pg_catalog.bytea IS NULL THEN pg_catalog.pg_table_is_visible(class.oid)
      ELSE schema.nspname OPERATOR(pg_catalog.~) pg_catalog.convert_from($2, $3::pg_catalog.name) COLLATE pg_catalog."default"
      END

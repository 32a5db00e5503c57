-- What is needed to write the statements that sample the table with the oid $1: its name and columns, quoted.
SELECT pg_catalog.format('%I.%I', schema.nspname, class.relname) AS name,
       -- The main file alone: in it lie the rows.
       coalesce(pg_catalog.pg_relation_size(class.oid), 0)
           / pg_catalog.current_setting('block_size')::int8 AS blocks,
       ARRAY(
           SELECT pg_catalog.format('t.%I', attribute.attname)
           FROM pg_catalog.pg_attribute AS attribute
           WHERE attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
             -- pg_dump leaves out what the server computes.
             AND attribute.attgenerated = ''
           ORDER BY attribute.attnum) AS columns
FROM pg_catalog.pg_class AS class
JOIN pg_catalog.pg_namespace AS schema ON schema.oid = class.relnamespace
JOIN pg_catalog.pg_am AS method ON method.oid = class.relam
WHERE class.oid = $1::int8::pg_catalog.oid
  -- pg_largeobject is one; partitioned and foreign tables have no blocks.
  AND class.relkind = 'r'
  -- Of other kinds of table it is not known whether single blocks can be read.
  AND method.amname = 'heap'

-- Whether the table with the oid $1 has no byte; none where it is gone.
SELECT pg_catalog.pg_relation_size($1::int8::pg_catalog.oid) = 0

-- So many at most: a part of them shows whether large objects were dumped at all, and that most of them were.
SELECT oid::int8
FROM pg_catalog.pg_largeobject_metadata
ORDER BY oid
LIMIT 100000

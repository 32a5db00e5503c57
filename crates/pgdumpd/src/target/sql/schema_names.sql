-- What each schema is called at this moment.
SELECT oid::int8 AS oid, pg_catalog.namesend(nspname) AS name
FROM pg_catalog.pg_namespace

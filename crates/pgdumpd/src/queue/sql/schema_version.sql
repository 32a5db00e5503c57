-- The newest migration that was applied.
SELECT coalesce(max(m.version), 0) AS version FROM pgdumpd.schema_migrations AS m

-- Phase $1 is done; $2 to $4 are the entries that could not be restored in it, with what the server said, and the statements.
WITH noted AS (
    INSERT INTO pgdumpd_restore.errors (dump_id, message, command)
    SELECT e.dump_id, e.message, e.command
    FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.int4[]), pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[])) AS e (dump_id, message, command)
)
INSERT INTO pgdumpd_restore.done (phase) VALUES ($1) ON CONFLICT DO NOTHING

-- How far a restore is, in the database itself: so that it can go on after whatever ended it.
CREATE SCHEMA pgdumpd_restore;
COMMENT ON SCHEMA pgdumpd_restore IS 'How far pgdumpd is with restoring this database: dropped at the end.';
CREATE TABLE pgdumpd_restore.backup (id pg_catalog.uuid NOT NULL, tables pg_catalog.text NOT NULL, was_empty pg_catalog.bool NOT NULL);
CREATE TABLE pgdumpd_restore.done (phase pg_catalog.text PRIMARY KEY);
CREATE TABLE pgdumpd_restore.errors (dump_id pg_catalog.int4, message pg_catalog.text NOT NULL, command pg_catalog.text);
CREATE TABLE pgdumpd_restore.loaded (dump_id pg_catalog.int4 PRIMARY KEY, rows pg_catalog.int8 NOT NULL)

BEGIN;
SET LOCAL synchronous_commit = on;
SET LOCAL client_min_messages = error;
DROP SCHEMA pgdumpd_restore CASCADE;
COMMIT

-- What the server says to whose statement is cancelled. Caught, it is in no log.
DO $$
BEGIN
    PERFORM pg_catalog.pg_cancel_backend(pg_catalog.pg_backend_pid());
    PERFORM pg_catalog.pg_sleep(1);
EXCEPTION WHEN query_canceled THEN
    PERFORM pg_catalog.set_config('pgdumpd.cancelled', SQLERRM, false);
END $$

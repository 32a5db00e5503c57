-- What the server says to whose statement takes too long. Caught, it is in no log.
DO $$
BEGIN
    PERFORM pg_catalog.pg_sleep(1);
EXCEPTION WHEN query_canceled THEN
    PERFORM pg_catalog.set_config('pgdumpd.timed_out', SQLERRM, false);
END $$

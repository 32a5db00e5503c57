-- The watcher changes nothing, and neither waits for a lock long enough to be in anybody's way
-- nor follows a search path that a table's owner could have filled.
SET default_transaction_read_only = on;
SET lock_timeout = '2s';
SET statement_timeout = '60s';
SET search_path = pg_catalog, pg_temp;
-- PostgreSQL writes one server's numbers and dates as another would.
SET client_encoding = 'UTF8'

-- As pg_restore prepares its sessions, and what makes the text of rows mean the same on every server.
SET client_min_messages = warning;
SET search_path = '';
SET row_security = off;
SET check_function_bodies = false;
SET xmloption = content;
SET DateStyle = ISO;
SET IntervalStyle = postgres;
SET extra_float_digits = 3;
SET synchronize_seqscans = off;
SET default_transaction_isolation = 'read committed';
-- Only the last commit of a restore waits for the disk, and with it all before it.
SET synchronous_commit = off;
-- A server from 17 on ends a transaction that takes longer than this.
DO $$
BEGIN
    IF pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 170000 THEN
        PERFORM pg_catalog.set_config('transaction_timeout', '0', false);
    END IF;
END
$$

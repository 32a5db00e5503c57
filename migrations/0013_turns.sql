-- No one holds up another: neither notifications, nor an open transaction, nor a key, nor a backlog.

-- The same as in migration 2, but a queue of notifications that is half full gets no more of them: where it is full, every
-- transaction that notifies fails, and any role that may connect can fill it. To ask how full it is also drops what
-- everybody has read, which nothing else does there.
CREATE OR REPLACE FUNCTION pgdumpd.hint(channel text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF lower(coalesce(current_setting('pgdumpd.notify', true), 'on')) NOT IN ('off', 'false', 'no', '0')
        AND pg_notification_queue_usage() < 0.5
    THEN
        PERFORM pg_notify(channel, '');
    END IF;
END
$$;

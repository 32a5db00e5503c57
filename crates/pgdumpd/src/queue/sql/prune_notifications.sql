-- Forgets messages of long ago.
DELETE FROM pgdumpd.notifications AS n WHERE n.happened_at < clock_timestamp() - interval '30 days'

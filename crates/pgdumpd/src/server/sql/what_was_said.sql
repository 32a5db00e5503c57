SELECT coalesce(pg_catalog.current_setting('pgdumpd.cancelled', true), ''),
       coalesce(pg_catalog.current_setting('pgdumpd.timed_out', true), '')

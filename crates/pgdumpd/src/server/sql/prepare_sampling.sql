-- For a session that was prepared as the watcher's is. Samples are for a percentage alone: where a table's change
-- holds or awaits its lock, or a look takes long, they do without.
SET lock_timeout = '50ms';
SET statement_timeout = '1s';
-- As pg_dump reads: a table whose rows would be filtered is an error, not fewer rows.
SET row_security = off;
-- Only blocks that were asked for are read.
SET enable_seqscan = off;
SET max_parallel_workers_per_gather = 0;
SET jit = off

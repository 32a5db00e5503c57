-- The virtual id of the transaction that this statement runs in. Every transaction has a new one, so two
-- statements that see the same id run inside one transaction block. Unlike now() it needs no clock, and
-- unlike SAVEPOINT it leaves no error in the server's log outside of one.
SELECT virtualtransaction
FROM pg_catalog.pg_locks
WHERE locktype = 'virtualxid' AND pid = pg_catalog.pg_backend_pid()
LIMIT 1

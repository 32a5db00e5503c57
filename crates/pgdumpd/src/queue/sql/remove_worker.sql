-- Forgets a process that ended in good order. $1 worker.
DELETE FROM pgdumpd.workers AS w WHERE w.id = $1

-- Gives a queue that holds nothing but these backups' jobs the id that they were made under.
-- $1 the id it has now, $2 the backups', $3 the backups' ids. No row: it has another id, or other jobs, by now.
UPDATE pgdumpd.queue AS q
SET id = $2
WHERE q.id = $1 AND NOT EXISTS (SELECT FROM pgdumpd.backup_jobs AS j WHERE j.id <> ALL ($3::uuid[]))
RETURNING q.id

-- Notes which database an attempt dumps, for as long as it runs.
-- $1 lease token, $2 the database's name, $3 the server's system identifier.
UPDATE pgdumpd.backup_attempts AS a
SET database_name = $2, system_identifier = $3
WHERE a.lease_token = $1 AND a.outcome = 'running'

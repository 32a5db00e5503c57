-- Asks for a copy of a backup in a further storage; no row where it is under way, or no storage holds the backup.
-- $1 the backup's job, $2 the further storage's name.
INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to, max_attempts)
SELECT 'copy', $1, $2, 100
-- An adopted clone's rows name the keys of the original: their copies are the original's to make.
WHERE EXISTS (SELECT FROM pgdumpd.backup_copies AS c
              JOIN pgdumpd.queue AS q ON c.object_key LIKE q.id::text || '/%'
              WHERE c.job_id = $1 AND c.state = 'stored')
ON CONFLICT DO NOTHING
RETURNING id

-- Which database the newest backup of the target $1 is of, as far as it is known.
SELECT a.database_name, a.system_identifier
FROM pgdumpd.backup_jobs AS j
-- Of an adopted backup it is an earlier attempt that dumped; one that only adopts connects to nothing.
JOIN pgdumpd.backup_attempts AS a ON a.job_id = j.id AND a.database_name IS NOT NULL
WHERE j.target = $1 AND j.state = 'succeeded' AND j.kind = 'backup'
ORDER BY j.finished_at DESC, a.started_at DESC
LIMIT 1

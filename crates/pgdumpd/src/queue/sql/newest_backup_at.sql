-- The newest backup of target $1 that was begun at $2 or before, and is still stored. Its rows are of the time at which it was begun.
SELECT s.id
FROM pgdumpd.backup_status AS s
WHERE s.target = $1 AND s.kind = 'backup' AND s.state = 'succeeded' AND s.started_at <= $2 AND s.stored_in <> '[]'
ORDER BY s.started_at DESC
LIMIT 1

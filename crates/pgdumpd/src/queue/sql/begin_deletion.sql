-- Begins to delete a backup from one storage, if enough newer ones are kept there in its place: decided here and marked in
-- the same statement, because what a daemon listed may be long out of date. No row: it stays.
--
-- Whatever any number of daemons believe, the newest ones stay: the order is the same for all, and each deletion counts
-- only what is newer than what goes.
-- $1 the queue's id, $2 storage id, $3 object key, $4 keys of backups that count as much, seen whole in that storage,
-- $5 how many of them must be recorded as stored now.
WITH kept AS MATERIALIZED (
    SELECT k.object_key
    FROM pgdumpd.backup_copies AS c
    JOIN pgdumpd.backup_copies AS k ON k.storage_id = c.storage_id
    WHERE c.storage_id = $2
      AND c.object_key = $3
      AND k.object_key = ANY ($4::text[])
      AND k.state = 'stored'
      -- Nor is that counted whose deletion was requested.
      AND NOT EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = k.job_id)
      -- An age that nobody knows decides nothing: neither row is then newer.
      AND (k.claimed_at, k.object_key COLLATE "C") > (c.claimed_at, c.object_key COLLATE "C")
    -- Whoever changes one of them at this moment is waited for, and its row read again. Locks are taken on newer rows
    -- alone, so no two statements wait for each other.
    FOR SHARE OF k
)
UPDATE pgdumpd.backup_copies AS c
SET state = 'deleting'
WHERE c.storage_id = $2
  AND c.object_key = $3
  AND c.state = 'stored'
  AND (SELECT count(DISTINCT kept.object_key) FROM kept) >= greatest($5::bigint, 1)
  -- What a copy reads at this moment stays. One that waits, for whatever long, keeps nothing.
  AND NOT EXISTS (SELECT FROM pgdumpd.backup_jobs AS r WHERE r.copy_of = c.job_id AND r.state = 'running')
  AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $1)
RETURNING c.job_id

-- The order in which backups are kept, and deletions that are begun.

ALTER TABLE pgdumpd.backup_copies
    -- When the attempt was claimed that dumped the backup, by this database's clock: the order in which keep_last counts,
    -- the same for every daemon and in every storage. A copy is as old as its backup. NULL where nobody knows it.
    ADD COLUMN claimed_at timestamptz,
    -- A daemon marks what it deletes in the statement that decides it, so that no other daemon counts on it. Whichever
    -- daemon applies the rules next finishes what was begun.
    DROP CONSTRAINT backup_copies_state_check,
    ADD CONSTRAINT backup_copies_state_is_known CHECK (state IN ('stored', 'deleting', 'deleted'));

-- What was dumped into the storage itself: the first attempt that noted its key. `fsck --rebuild` has made the attempts
-- of no daemon from the clocks of workers: those say nothing.
UPDATE pgdumpd.backup_copies AS c
SET claimed_at = (
    SELECT a.started_at
    FROM pgdumpd.backup_attempts AS a
    WHERE a.job_id = c.job_id AND a.object_key = c.object_key
      AND a.worker_id <> '00000000-0000-0000-0000-000000000000'
    -- Not by time: the clock may have been set back between two attempts.
    ORDER BY a.attempt, a.started_at
    LIMIT 1
);
-- What was copied: as old as the original, where the rows of the job leave no doubt which that was.
UPDATE pgdumpd.backup_copies AS c
SET claimed_at = known.claimed_at
FROM (
    SELECT o.job_id, min(o.claimed_at) AS claimed_at
    FROM pgdumpd.backup_copies AS o
    GROUP BY o.job_id
    HAVING min(o.claimed_at) = max(o.claimed_at)
) AS known
WHERE known.job_id = c.job_id AND c.claimed_at IS NULL
  AND EXISTS (
    SELECT FROM pgdumpd.backup_jobs AS k
    JOIN pgdumpd.backup_attempts AS a ON a.job_id = k.id
    WHERE k.copy_of = c.job_id AND a.object_key = c.object_key
  );

-- What a storage holds of a target, and one copy by its key.
CREATE INDEX backup_copies_stored ON pgdumpd.backup_copies (storage_id, object_key) WHERE state <> 'deleted';

-- What was stored of a target in one storage, newest first: what is noted as stored, and which of the keys that the
-- storage has shown belong to jobs of this queue.
-- $1 queue id, $2 target, $3 storage id, $4 object keys.
SELECT j.id AS job_id, j.spec, known.object_key, coalesce(c.state = 'stored', false) AS noted
FROM pgdumpd.backup_jobs AS j
CROSS JOIN LATERAL (
    -- An attempt that adopts a backup notes its key, too: the first began to dump it.
    SELECT a.object_key, min(a.started_at) AS begun
    FROM pgdumpd.backup_attempts AS a
    WHERE a.job_id = j.id AND a.storage_id = $3
    GROUP BY a.object_key
    UNION ALL
    -- A copy is as old as the backup that it is of, whenever it was made. The first is at hand: a copy is asked for
    -- when its backup has ended.
    SELECT a.object_key,
           (SELECT min(o.started_at)
            FROM pgdumpd.backup_attempts AS s
            JOIN pgdumpd.backup_attempts AS o ON o.job_id = s.job_id AND o.object_key = s.object_key
            WHERE s.job_id = j.id AND s.outcome = 'succeeded')
    FROM pgdumpd.backup_jobs AS k
    JOIN pgdumpd.backup_attempts AS a ON a.job_id = k.id
    WHERE k.copy_of = j.id AND k.finished_at IS NOT NULL AND a.storage_id = $3
    GROUP BY a.object_key
) AS known
LEFT JOIN pgdumpd.backup_copies AS c
    ON c.job_id = j.id AND c.storage_id = $3 AND c.object_key = known.object_key
WHERE j.target = $2
  AND j.kind = 'backup'
  -- The backup of a job that has not ended may be about to be adopted; so may its copy.
  AND j.finished_at IS NOT NULL
  AND (c.state = 'stored' OR known.object_key = ANY ($4::text[]))
  -- An adopted clone knows the original's jobs, and must not touch their backups.
  AND EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $1)
ORDER BY known.begun DESC, known.object_key DESC

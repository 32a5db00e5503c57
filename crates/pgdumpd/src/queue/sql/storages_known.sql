-- The storages that the queue knows, by each name that they had when something was stored there, or was begun to be: the
-- name's last one first. A deleted backup counts, too: it says which storage the name meant.
WITH RECURSIVE copied (storage_id, storage) AS (
    -- From one storage to the next in an index, not over the copies.
    (SELECT b.storage_id, b.storage FROM pgdumpd.backup_copies AS b ORDER BY b.storage_id, b.storage LIMIT 1)
    UNION ALL
    SELECT next.storage_id, next.storage
    FROM copied AS c
    CROSS JOIN LATERAL (
        SELECT b.storage_id, b.storage
        FROM pgdumpd.backup_copies AS b
        WHERE (b.storage_id, b.storage) > (c.storage_id, c.storage)
        ORDER BY b.storage_id, b.storage
        LIMIT 1
    ) AS next
), begun (storage_id, storage) AS (
    (
        SELECT a.storage_id, a.storage
        FROM pgdumpd.backup_attempts AS a
        WHERE a.storage IS NOT NULL
        ORDER BY a.storage_id, a.storage
        LIMIT 1
    )
    UNION ALL
    SELECT next.storage_id, next.storage
    FROM begun AS g
    CROSS JOIN LATERAL (
        SELECT a.storage_id, a.storage
        FROM pgdumpd.backup_attempts AS a
        WHERE a.storage IS NOT NULL AND (a.storage_id, a.storage) > (g.storage_id, g.storage)
        ORDER BY a.storage_id, a.storage
        LIMIT 1
    ) AS next
)
SELECT k.storage, k.storage_id,
       (SELECT count(*) FROM pgdumpd.backup_copies AS b
        WHERE b.storage_id = k.storage_id AND b.storage = k.storage AND b.state = 'stored') AS backups,
       -- A daemon that is alive has it in its configuration, under whatever name.
       EXISTS (SELECT FROM pgdumpd.workers AS w
               WHERE k.storage_id = ANY (w.storage_ids) AND w.last_seen_at > clock_timestamp() - w.lease) AS served
FROM (SELECT c.storage_id, c.storage FROM copied AS c UNION SELECT g.storage_id, g.storage FROM begun AS g) AS k
ORDER BY greatest(
             (SELECT max(b.stored_at) FROM pgdumpd.backup_copies AS b
              WHERE b.storage_id = k.storage_id AND b.storage = k.storage),
             (SELECT max(a.started_at) FROM pgdumpd.backup_attempts AS a
              WHERE a.storage_id = k.storage_id AND a.storage = k.storage AND a.storage IS NOT NULL)) DESC,
         k.storage_id

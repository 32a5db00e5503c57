-- The storages that the queue knows, by each name that they had when something was stored there, or was begun to be: the
-- name's last one first. A deleted backup counts, too: it says which storage the name meant.
SELECT k.storage, k.storage_id, count(*) FILTER (WHERE k.stored) AS backups,
       -- A daemon that is alive has it in its configuration, under whatever name.
       EXISTS (SELECT FROM pgdumpd.workers AS w
               WHERE k.storage_id = ANY (w.storage_ids) AND w.last_seen_at > clock_timestamp() - w.lease) AS served
FROM (
    SELECT b.storage, b.storage_id, b.stored_at AS at, b.state = 'stored' AS stored
    FROM pgdumpd.backup_copies AS b
    UNION ALL
    SELECT a.storage, a.storage_id, a.started_at, false
    FROM pgdumpd.backup_attempts AS a
    WHERE a.storage IS NOT NULL
) AS k
GROUP BY k.storage, k.storage_id
ORDER BY max(k.at) DESC, k.storage_id

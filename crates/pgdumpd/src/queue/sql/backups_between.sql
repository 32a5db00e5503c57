-- Backups whose ids are in a span, as far as this role may see them.
SELECT s.id
FROM pgdumpd.backup_status AS s
WHERE s.id BETWEEN $1 AND $2 AND s.kind = 'backup'
ORDER BY s.id
LIMIT 4

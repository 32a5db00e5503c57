-- $1 notification.
UPDATE pgdumpd.notifications AS n
SET sent_at = clock_timestamp(), attempts = n.attempts + 1, last_error = NULL
WHERE n.id = $1 AND n.sent_at IS NULL
RETURNING n.id

-- What is due for a receiver that this daemon has, oldest first.
-- $1 receiver, $2 how many.
SELECT n.id, n.event, n.target, n.job_id, n.happened_at, n.details, n.attempts
FROM pgdumpd.notifications AS n
WHERE n.receiver = $1 AND n.sent_at IS NULL AND n.gave_up_at IS NULL AND n.next_try_at <= clock_timestamp()
ORDER BY n.number
LIMIT $2

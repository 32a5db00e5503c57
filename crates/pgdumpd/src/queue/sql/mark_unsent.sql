-- Notes that a message could not be sent: it is tried again later, unless it has become too old.
-- $1 notification, $2 why, $3 seconds until the next try, $4 seconds after which it is given up, $5 whether the receiver did not
-- answer, so that the others wait as long.
WITH this AS (
    UPDATE pgdumpd.notifications AS n
    SET attempts = n.attempts + 1, last_error = $2, next_try_at = clock_timestamp() + $3 * interval '1 second',
        gave_up_at = CASE WHEN n.happened_at < clock_timestamp() - $4 * interval '1 second' THEN clock_timestamp() END
    WHERE n.id = $1 AND n.sent_at IS NULL
    RETURNING n.id, n.receiver, n.next_try_at, n.gave_up_at
), others AS (
    UPDATE pgdumpd.notifications AS n
    SET next_try_at = t.next_try_at
    FROM this AS t
    WHERE $5 AND n.receiver = t.receiver AND n.id <> t.id AND n.sent_at IS NULL AND n.gave_up_at IS NULL AND n.next_try_at < t.next_try_at
)
SELECT t.gave_up_at IS NOT NULL AS gave_up FROM this AS t

-- Which receivers could not be told, for checks.
-- $1 names of receivers.
SELECT n.receiver,
       count(*) FILTER (WHERE n.gave_up_at > clock_timestamp() - interval '1 day') AS given_up,
       count(*) FILTER (WHERE n.sent_at IS NULL AND n.gave_up_at IS NULL AND n.attempts > 0) AS waiting,
       (array_agg(n.last_error ORDER BY n.number DESC) FILTER (WHERE n.last_error IS NOT NULL))[1] AS last_error
FROM pgdumpd.notifications AS n
WHERE n.receiver = ANY ($1) AND n.sent_at IS NULL AND n.happened_at > clock_timestamp() - interval '3 days'
GROUP BY n.receiver
ORDER BY n.receiver

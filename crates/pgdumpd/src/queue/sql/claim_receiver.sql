-- Takes a receiver for a while, if something is due for it and no other daemon has it. What is due is read by a second statement:
-- this one may have waited for a daemon that has just sent it. No row: nothing to do.
-- $1 receiver, $2 daemon, $3 seconds.
UPDATE pgdumpd.receivers AS r
SET claimed_by = $2, claimed_until = clock_timestamp() + $3 * interval '1 second'
WHERE r.name = $1
  AND (r.claimed_until IS NULL OR r.claimed_until < clock_timestamp() OR r.claimed_by = $2)
  AND EXISTS (SELECT FROM pgdumpd.notifications AS n
              WHERE n.receiver = $1 AND n.sent_at IS NULL AND n.gave_up_at IS NULL AND n.next_try_at <= clock_timestamp())
RETURNING r.name

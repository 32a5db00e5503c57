-- Says which schedules this daemon has, and tells of each which due time was settled last, and what time it is.
-- $1 targets, $2 the schedule of each, or NULL where it has none.
WITH served AS MATERIALIZED (
    SELECT s.target, s.schedule FROM unnest($1::text[], $2::text[]) AS s (target, schedule)
), forgotten AS (
    -- A schedule that was replaced must not be caught up with when it comes back: once no daemon has had it for a
    -- while it is new again. A target without one may have it in another daemon's configuration, which is away.
    DELETE FROM pgdumpd.schedules AS k
    USING served AS s
    WHERE k.target = s.target AND k.schedule IS DISTINCT FROM s.schedule
      AND k.seen_at < clock_timestamp() - CASE WHEN s.schedule IS NULL THEN interval '7 days' ELSE interval '10 minutes' END
      -- Else what it asked for would be asked for once more beside it.
      AND NOT EXISTS (SELECT FROM pgdumpd.backup_jobs AS j WHERE j.id = k.job_id AND j.finished_at IS NULL)
)
INSERT INTO pgdumpd.schedules AS k (target, schedule, due_at, seen_at)
-- One seen for the first time is due from now on.
SELECT s.target, s.schedule, clock_timestamp(), clock_timestamp()
FROM served AS s
WHERE s.schedule IS NOT NULL
-- In one order, so that two daemons never wait for each other.
ORDER BY s.target
ON CONFLICT (target, schedule) DO UPDATE
SET seen_at = clock_timestamp(),
    -- A clock that was years ahead for a moment must not silence a schedule for years. A small step back does not
    -- make a settled time due again.
    due_at = CASE WHEN k.due_at > clock_timestamp() + interval '1 hour' THEN clock_timestamp() ELSE k.due_at END
RETURNING k.target, k.due_at, clock_timestamp() AS now

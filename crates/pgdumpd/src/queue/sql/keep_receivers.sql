-- Writes whom this daemon can tell, and forgets whom no daemon could for a week.
-- $1 receivers: an array of objects with name, events, targets.
WITH known AS (
    SELECT k.name, k.events, k.targets
    FROM jsonb_to_recordset($1) AS k (name text, events text[], targets text[])
), gone AS (
    DELETE FROM pgdumpd.receivers AS r
    WHERE r.seen_at < clock_timestamp() - interval '7 days' AND r.name NOT IN (SELECT k.name FROM known AS k)
)
INSERT INTO pgdumpd.receivers AS r (name, events, targets)
-- In one order, so that two daemons do not wait for each other.
SELECT k.name, k.events, k.targets FROM known AS k ORDER BY k.name
ON CONFLICT (name) DO UPDATE
SET events = excluded.events, targets = excluded.targets, seen_at = clock_timestamp()

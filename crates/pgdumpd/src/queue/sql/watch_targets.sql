-- Notes since when targets with alert_after are known. $1 targets.
INSERT INTO pgdumpd.watched_targets (target)
SELECT w.target FROM unnest($1::text[]) AS w (target) ORDER BY w.target
ON CONFLICT DO NOTHING

-- Says what each target means to the daemon $1, between two heartbeats.
UPDATE pgdumpd.workers AS w SET target_settings = $2 WHERE w.id = $1

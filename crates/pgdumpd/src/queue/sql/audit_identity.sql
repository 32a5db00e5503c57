-- Which queue is asked, and when.
SELECT q.id, clock_timestamp() AS now FROM pgdumpd.queue AS q

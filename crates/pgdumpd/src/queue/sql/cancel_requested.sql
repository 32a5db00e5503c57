-- Whether a cancel was asked for: a row if so. For the moment after a hint; a heartbeat asks the same.
-- $1 job.
SELECT 1 AS cancel FROM pgdumpd.backup_cancels AS c WHERE c.job_id = $1

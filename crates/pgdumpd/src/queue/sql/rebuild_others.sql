-- Jobs that are none of these backups'. $1 the backups' ids.
SELECT count(*) AS others FROM pgdumpd.backup_jobs AS j WHERE j.id <> ALL ($1::uuid[])

-- A role that sees its own jobs alone lists those of one target, and those that failed, without reading all of its own or all of others.

CREATE INDEX backup_jobs_requested_by_target ON pgdumpd.backup_jobs (requested_by, target, created_at, id);
CREATE INDEX backup_jobs_unsuccessful_of ON pgdumpd.backup_jobs (requested_by, created_at, id) WHERE state IN ('failed', 'cancelled');

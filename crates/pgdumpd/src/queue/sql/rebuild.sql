-- Makes the rows of backups from what their manifests say; what is there already stays as it is.
-- $1 the queue's id, $2 the backups, one object for each storage that holds one.
WITH given AS MATERIALIZED (
    -- What orders backups is a time of the queue's clock. Manifests of before that do not say it, and one that lies in
    -- the future is of no use: the age is then not known, and keep_last neither counts nor deletes such a backup.
    SELECT g.*, CASE WHEN g.claimed_at <= clock_timestamp() THEN g.claimed_at END AS known_claim
    FROM jsonb_to_recordset($2) AS g (
        database_name text, system_identifier text,
        id uuid, target text, spec jsonb, requested_by text, attempt smallint, lease_token uuid, claimed_at timestamptz,
        started_at timestamptz,
        finished_at timestamptz, size_bytes bigint, sha256 text, tables integer, rows bigint, dump_bytes bigint,
        warnings jsonb, warnings_total integer, storage text, storage_id uuid, object_key text, object_token uuid)
    WHERE EXISTS (SELECT FROM pgdumpd.queue AS q WHERE q.id = $1)
      -- A job that has not ended notes its backup itself, and what a person deleted does not come back.
      AND NOT EXISTS (SELECT FROM pgdumpd.backup_jobs AS j WHERE j.id = g.id AND j.finished_at IS NULL)
      AND NOT EXISTS (SELECT FROM pgdumpd.backup_deletions AS d WHERE d.job_id = g.id)
), job AS (
    INSERT INTO pgdumpd.backup_jobs (id, target, spec, requested_by, created_at, run_at, state, attempt, max_attempts,
        lease_token, started_at, finished_at, phase, progress, message, tables_done, tables_total, rows_done,
        bytes_dumped, bytes_stored, progress_at, size_bytes, sha256, warnings, warnings_total)
    SELECT DISTINCT ON (g.id) g.id, g.target, g.spec, g.requested_by, g.started_at, g.started_at, 'succeeded', g.attempt,
        greatest(g.attempt, 3), g.lease_token, g.started_at, g.finished_at, 'done', 100,
        'this row was made anew from the backup''s manifest', g.tables, g.tables, g.rows,
        g.dump_bytes, g.size_bytes, g.finished_at, g.size_bytes, g.sha256, g.warnings, g.warnings_total
    FROM given AS g
    -- Of two backups of one job the newer is the one that its copy below notes.
    ORDER BY g.id, g.known_claim DESC NULLS LAST, g.started_at DESC, g.object_key DESC
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), attempt AS (
    -- No manifest says which process it was. Where it does not say when the attempt was claimed, the daemon's time is
    -- for people alone.
    INSERT INTO pgdumpd.backup_attempts (lease_token, job_id, attempt, worker_id, started_at, ended_at, outcome,
        storage, storage_id, object_key, database_name, system_identifier)
    SELECT g.object_token, g.id, g.attempt, '00000000-0000-0000-0000-000000000000',
        coalesce(g.known_claim, g.started_at), g.finished_at,
        'succeeded', g.storage, g.storage_id, g.object_key, g.database_name, g.system_identifier
    FROM given AS g
    ON CONFLICT DO NOTHING
), copy AS (
    INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state, stored_at, claimed_at)
    SELECT DISTINCT ON (g.id, g.storage_id) g.id, g.storage, g.storage_id, g.object_key, g.size_bytes, 'stored',
        g.finished_at, g.known_claim
    FROM given AS g
    ORDER BY g.id, g.storage_id, g.known_claim DESC NULLS LAST, g.started_at DESC, g.object_key DESC
    ON CONFLICT DO NOTHING
    RETURNING job_id
)
SELECT (SELECT count(*) FROM job) AS jobs, (SELECT count(*) FROM copy) AS copies

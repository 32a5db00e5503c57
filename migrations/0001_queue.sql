-- The queue: jobs, their attempts, the copies that resulted, the daemons, and the queue's own id.
-- Everything lives in the schema pgdumpd, which the runner of the migrations has created.

CREATE TABLE pgdumpd.queue (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    adopted_at timestamptz
);
COMMENT ON TABLE pgdumpd.queue IS
    'One row: the id of this queue. A clone of the database carries the same id until `pgdumpd adopt` stamps a new one.';
INSERT INTO pgdumpd.queue DEFAULT VALUES;

CREATE TABLE pgdumpd.backup_jobs (
    -- Written by whoever asks for the backup.
    id               uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    kind             text        NOT NULL DEFAULT 'backup'
                     CONSTRAINT backup_jobs_kind_is_known CHECK (kind IN ('backup')),
    target           text        NOT NULL
                     CONSTRAINT backup_jobs_target_is_a_name
                     CHECK (octet_length(target) BETWEEN 1 AND 200 AND target !~ '[[:cntrl:]]'),
    spec             jsonb       NOT NULL DEFAULT '{}'
                     CONSTRAINT backup_jobs_spec_is_an_object CHECK (jsonb_typeof(spec) = 'object')
                     CONSTRAINT backup_jobs_spec_is_at_most_16_kb CHECK (octet_length(spec::text) <= 16384),
    spec_version     smallint    NOT NULL DEFAULT 1
                     CONSTRAINT backup_jobs_spec_version_is_positive CHECK (spec_version >= 1),
    priority         smallint    NOT NULL DEFAULT 3
                     CONSTRAINT backup_jobs_priority_is_1_to_5 CHECK (priority BETWEEN 1 AND 5),
    run_at           timestamptz NOT NULL DEFAULT now()
                     -- PostgreSQL's calendar is longer than the client languages': a row that they cannot read
                     -- would break every list that it is in.
                     CONSTRAINT backup_jobs_run_at_is_in_the_years_2000_to_9999
                     CHECK (run_at >= '2000-01-01 00:00:00+00' AND run_at < '10000-01-01 00:00:00+00'),
    idempotency_key  text
                     CONSTRAINT backup_jobs_idempotency_key_is_short
                     CHECK (octet_length(idempotency_key) BETWEEN 1 AND 200),
    max_attempts     smallint    NOT NULL DEFAULT 3
                     CONSTRAINT backup_jobs_max_attempts_is_1_to_100 CHECK (max_attempts BETWEEN 1 AND 100),
    timeout          interval
                     CONSTRAINT backup_jobs_timeout_is_1_second_to_30_days
                     CHECK (timeout BETWEEN interval '1 second' AND interval '30 days'),

    -- Set by the server alone.
    requested_by     text        NOT NULL DEFAULT session_user,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),

    -- Written by the daemon alone: who owns the job, and where it stands.
    state            text        NOT NULL DEFAULT 'queued'
                     CONSTRAINT backup_jobs_state_is_known
                     CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    attempt          smallint    NOT NULL DEFAULT 0
                     CONSTRAINT backup_jobs_attempt_is_allowed CHECK (attempt BETWEEN 0 AND max_attempts),
    rescues          smallint    NOT NULL DEFAULT 0 CHECK (rescues BETWEEN 0 AND attempt),
    lease_token      uuid,
    worker_id        uuid,
    lease_expires_at timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,

    -- Progress of the present attempt; of a job that waits for its next attempt, of the last one.
    phase            text        CHECK (octet_length(phase) <= 200),
    progress         real        NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    message          text        CHECK (octet_length(message) <= 2000),
    current_table    text        CHECK (octet_length(current_table) <= 2000),
    tables_done      integer,
    tables_total     integer,
    rows_done        bigint,
    bytes_dumped     bigint,
    bytes_stored     bigint,
    estimated_end    timestamptz,
    progress_at      timestamptz,

    -- Why the job failed; of a job that waits for its next attempt, why the last one did.
    error_step       text        CHECK (octet_length(error_step) <= 200),
    error_code       text        CHECK (octet_length(error_code) <= 200),
    error            text        CHECK (octet_length(error) <= 16384),
    error_hint       text        CHECK (octet_length(error_hint) <= 4096),
    warnings         jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(warnings) = 'array' AND octet_length(warnings::text) <= 65536),
    warnings_total   integer     NOT NULL DEFAULT 0 CHECK (warnings_total >= 0),
    size_bytes       bigint      CHECK (size_bytes >= 0),
    sha256           text        CHECK (sha256 ~ '^[0-9a-f]{64}$'),

    -- A job is in exactly one state, and its lease, times and result agree with it.
    CONSTRAINT backup_jobs_queued_is_unowned CHECK (state <> 'queued' OR
        (lease_token IS NULL AND worker_id IS NULL AND lease_expires_at IS NULL AND started_at IS NULL AND finished_at IS NULL)),
    CONSTRAINT backup_jobs_running_is_leased CHECK (state <> 'running' OR
        (lease_token IS NOT NULL AND worker_id IS NOT NULL AND lease_expires_at IS NOT NULL AND started_at IS NOT NULL AND finished_at IS NULL)),
    CONSTRAINT backup_jobs_ended_is_finished CHECK (state IN ('queued', 'running') OR
        (finished_at IS NOT NULL AND lease_expires_at IS NULL)),
    CONSTRAINT backup_jobs_succeeded_has_a_result CHECK (state <> 'succeeded' OR
        (lease_token IS NOT NULL AND sha256 IS NOT NULL AND size_bytes IS NOT NULL)),
    CONSTRAINT backup_jobs_failed_says_why CHECK (state <> 'failed' OR (error_code IS NOT NULL AND error IS NOT NULL)),
    CONSTRAINT backup_jobs_error_is_of_a_failure CHECK (state IN ('queued', 'failed') OR
        (error_step IS NULL AND error_code IS NULL AND error IS NULL AND error_hint IS NULL)),
    -- 100 comes with success, and only with it.
    CONSTRAINT backup_jobs_progress_100_is_success CHECK ((progress = 100) = (state = 'succeeded'))
) WITH (
    -- Heartbeats rewrite a row every few seconds: leave room on its page, and clean up by count, not by share.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 500
);

-- No index names a column that a heartbeat writes, so every heartbeat is a HOT update.
CREATE INDEX backup_jobs_claim ON pgdumpd.backup_jobs (target, priority, run_at, id) WHERE state = 'queued';
-- At most one running backup of a target: the rule that two claimers meet on.
CREATE UNIQUE INDEX backup_jobs_one_running_backup ON pgdumpd.backup_jobs (target) WHERE state = 'running' AND kind = 'backup';
CREATE INDEX backup_jobs_running ON pgdumpd.backup_jobs (target) WHERE state = 'running';
CREATE UNIQUE INDEX backup_jobs_idempotency ON pgdumpd.backup_jobs (target, idempotency_key);
CREATE INDEX backup_jobs_finished ON pgdumpd.backup_jobs (finished_at) WHERE finished_at IS NOT NULL;

-- A request to cancel is a row of its own: whoever cancels a running job takes no lock on its row but the
-- foreign key's (KEY SHARE, which lets heartbeat, finish and reap pass), so an application that cancels
-- inside a long transaction cannot stall the daemon.
CREATE TABLE pgdumpd.backup_cancels (
    job_id       uuid        PRIMARY KEY REFERENCES pgdumpd.backup_jobs (id) ON DELETE CASCADE,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text        NOT NULL DEFAULT session_user
);

-- One row for each claim. Its token is in the attempt's storage key and in its session's application_name.
CREATE TABLE pgdumpd.backup_attempts (
    lease_token  uuid        PRIMARY KEY,
    job_id       uuid        NOT NULL REFERENCES pgdumpd.backup_jobs (id) ON DELETE CASCADE,
    attempt      smallint    NOT NULL,
    worker_id    uuid        NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,
    outcome      text        NOT NULL DEFAULT 'running'
                 CONSTRAINT backup_attempts_outcome_is_known
                 CHECK (outcome IN ('running', 'succeeded', 'failed', 'cancelled', 'released', 'lost')),
    error_step   text,
    error_code   text,
    error        text,
    -- When the job was due again after this attempt: what a daemon is told that asks a second time.
    requeued_for timestamptz,
    -- Where the attempt stores, written before the first part is sent.
    storage      text,
    storage_id   uuid,
    object_key   text,
    upload_id    text,
    -- When a daemon saw to it that nothing of an attempt without a backup is left, neither on the target nor in the storage.
    cleared_at   timestamptz,
    CONSTRAINT backup_attempts_ended_is_finished CHECK ((outcome = 'running') = (ended_at IS NULL)),
    CONSTRAINT backup_attempts_storage_is_whole CHECK
        ((storage IS NULL) = (object_key IS NULL) AND (storage IS NULL) = (storage_id IS NULL))
);
CREATE INDEX backup_attempts_job ON pgdumpd.backup_attempts (job_id, started_at);
CREATE INDEX backup_attempts_uncleared ON pgdumpd.backup_attempts (started_at)
    WHERE outcome IN ('lost', 'failed', 'cancelled', 'released') AND cleared_at IS NULL;
CREATE UNIQUE INDEX backup_attempts_one_running ON pgdumpd.backup_attempts (job_id) WHERE outcome = 'running';

-- One row for each storage that holds (or held) a backup.
CREATE TABLE pgdumpd.backup_copies (
    job_id         uuid        NOT NULL REFERENCES pgdumpd.backup_jobs (id) ON DELETE CASCADE,
    storage        text        NOT NULL,
    storage_id     uuid        NOT NULL,
    object_key     text        NOT NULL,
    size_bytes     bigint      NOT NULL CHECK (size_bytes >= 0),
    state          text        NOT NULL CHECK (state IN ('stored', 'deleted')),
    stored_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_proved_at timestamptz,
    deleted_at     timestamptz,
    PRIMARY KEY (job_id, storage_id),
    CHECK ((state = 'deleted') = (deleted_at IS NOT NULL))
);

-- One row for each process start of a daemon.
CREATE TABLE pgdumpd.workers (
    id            uuid        PRIMARY KEY,
    host          text        NOT NULL,
    pid           integer     NOT NULL,
    version       text        NOT NULL,
    targets       text[]      NOT NULL,
    spec_versions smallint[]  NOT NULL,
    max_jobs      integer     NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- How long after last_seen_at the daemon may be taken for dead.
    lease         interval    NOT NULL,
    stopping      boolean     NOT NULL DEFAULT false,
    checks        jsonb,
    checked_at    timestamptz
) WITH (fillfactor = 70);

-- Row security keeps one producer's ids, targets and keys from another, although INSERT ... RETURNING and
-- ON CONFLICT need SELECT on those columns. Roles that see all rows get a policy that is the constant true
-- (0004), so that it costs the daemon nothing. The owner, and so every view and every SECURITY DEFINER
-- function, sees all rows.
ALTER TABLE pgdumpd.backup_jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows_are_visible ON pgdumpd.backup_jobs FOR SELECT USING (requested_by = session_user);
CREATE POLICY whoever_may_insert_may_enqueue ON pgdumpd.backup_jobs FOR INSERT WITH CHECK (true);

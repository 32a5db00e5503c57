//! What the routes of the operator's page answer about a job: more than [`BackupAnswer`](super::BackupAnswer), which
//! applications show to their users, and of copies, too.

use pgdumpd_client::{JobKind, JobStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Identity;
use super::answer::{Bytes, Copies, Failure, Rows, State, Tables, iso};
use crate::config::Scope;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Takes a backup.
    Backup,
    /// Copies one to a further storage.
    Copy,
}

impl Kind {
    pub(super) fn of(kind: JobKind) -> Self {
        match kind {
            JobKind::Copy => Self::Copy,
            _ => Self::Backup,
        }
    }
}

/// A backup or a copy. Times are of the database's clock, ISO 8601 in UTC with microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    /// The job's id.
    pub(super) id: String,
    /// What it does.
    kind: Kind,
    /// The target's name.
    target: String,
    /// Of a copy: the backup's job.
    #[schema(required)]
    copy_of: Option<String>,
    /// Of a copy: the storage that it goes to.
    #[schema(required)]
    copy_to: Option<String>,
    /// As asked for.
    #[schema(required)]
    label: Option<String>,
    /// Whether filters leave something out.
    is_partial: bool,
    /// In the queue.
    pub(super) state: State,
    /// What the attempt is doing.
    #[schema(required)]
    phase: Option<String>,
    /// Percent, 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    progress: f32,
    /// The table whose rows are being read.
    #[schema(required)]
    current_table: Option<String>,
    /// Tables, done and in all.
    tables: Tables,
    /// Rows, done and expected.
    rows: Rows,
    /// Bytes, dumped and stored.
    bytes: Bytes,
    /// When the attempt will probably end.
    #[schema(required, format = DateTime)]
    estimated_end: Option<String>,
    /// The present or last attempt; 0 before the first.
    attempt: i16,
    /// How many attempts there may be.
    max_attempts: i16,
    /// 1 is next; 20 means 20 or more; null if it is not queued or not due.
    #[schema(required)]
    queue_position: Option<i64>,
    /// Why a queued job does not run yet.
    #[schema(required)]
    waits_because: Option<String>,
    /// When a cancel was requested.
    #[schema(required, format = DateTime)]
    cancel_requested_at: Option<String>,
    /// Storages that hold the backup, of those that will.
    copies: Copies,
    /// The first warnings.
    warnings: Vec<String>,
    /// How many there were.
    warnings_total: i32,
    /// Of the stored object.
    #[schema(required)]
    size_bytes: Option<i64>,
    /// Of the stored object, 64 hexadecimal digits.
    #[schema(required)]
    sha256: Option<String>,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it is, or was, due.
    #[schema(format = DateTime)]
    run_at: String,
    /// When the present or last attempt started.
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    /// When the job ended.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// Why it failed, or why its last attempt failed while it waits for the next one.
    #[schema(required)]
    error: Option<Failure>,
    /// The role that asked for it; null without the scope `admin`.
    #[schema(required)]
    requested_by: Option<String>,
    /// The host of the daemon that runs it, or ran it last; null without the scope `admin`.
    #[schema(required)]
    worker_host: Option<String>,
}

impl Job {
    /// As whoever asks may see it: roles and hosts are the operator's.
    pub(super) fn of(job: JobStatus, identity: &Identity) -> Self {
        let shows_daemons = identity.has(Scope::Admin);
        Self {
            requested_by: Some(job.requested_by.clone()).filter(|_| shows_daemons),
            worker_host: job.worker_host.clone().filter(|_| shows_daemons),
            ..Self::for_everybody(job)
        }
    }

    /// Without what only an operator may see.
    pub(super) fn for_everybody(job: JobStatus) -> Self {
        Self {
            id: job.id.to_string(),
            kind: Kind::of(job.kind),
            target: job.target,
            copy_of: job.copy_of.map(|id| id.to_string()),
            copy_to: job.copy_to,
            label: job.label,
            is_partial: is_partial(&job.spec),
            state: job.state.into(),
            phase: job.phase,
            progress: job.progress,
            current_table: job.current_table,
            tables: Tables {
                done: job.tables_done,
                total: job.tables_total,
            },
            rows: Rows {
                done: job.rows_done,
                expected: job.rows_expected,
            },
            bytes: Bytes {
                dumped: job.bytes_dumped,
                stored: job.bytes_stored,
            },
            estimated_end: job.estimated_end.map(iso),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            queue_position: job.queue_position,
            waits_because: job.waits_because,
            cancel_requested_at: job.cancel_requested_at.map(iso),
            copies: Copies {
                stored: job.copies_stored,
                total: job.copies_total,
            },
            warnings: job.warnings,
            warnings_total: job.warnings_total,
            size_bytes: job.size_bytes,
            sha256: job.sha256,
            created_at: iso(job.created_at),
            run_at: iso(job.run_at),
            started_at: job.started_at.map(iso),
            finished_at: job.finished_at.map(iso),
            error: job.error.map(|message| Failure {
                code: job.error_code,
                step: job.error_step,
                message,
                hint: job.error_hint,
            }),
            requested_by: None,
            worker_host: None,
        }
    }
}

/// Whether a job's spec has a filter.
fn is_partial(spec: &serde_json::Value) -> bool {
    const FILTERS: [&str; 5] = [
        "schemas",
        "exclude_schemas",
        "tables",
        "exclude_tables",
        "exclude_table_data",
    ];
    FILTERS.iter().any(|filter| spec.get(filter).is_some())
}

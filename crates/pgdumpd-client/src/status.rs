//! How a job stands.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor, Row};
use uuid::Uuid;

use crate::error::ClientError;
use crate::sql;

/// Reads one job. None: no such job, or none that the session's user may see.
///
/// # Errors
/// See [`ClientError`].
pub async fn status(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<JobStatus>, ClientError> {
    Ok(sqlx::query_as(sql::STATUS)
        .bind([id])
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_optional(executor)
        .await?)
}

/// Reads many jobs with one statement: those of the ids that the session's user may see, in any order.
///
/// # Errors
/// See [`ClientError`].
pub async fn statuses(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<JobStatus>, ClientError> {
    Ok(sqlx::query_as(sql::STATUS)
        .bind(ids)
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_all(executor)
        .await?)
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobKind {
    /// Takes a backup: what [`enqueue`](crate::enqueue()) asks for.
    Backup,
    /// Copies one to a further storage: what a daemon asks for once the backup has succeeded.
    Copy,
}

impl JobKind {
    /// The word in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Copy => "copy",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is not a kind of job that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of job \"{0}\": known are backup and copy")]
pub struct UnknownKind(String);

impl FromStr for JobKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Backup, Self::Copy]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| UnknownKind(word.to_owned()))
    }
}

/// The state of a job. The last three are ends: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time, its target, or a daemon.
    Queued,
    /// A daemon owns it.
    Running,
    /// The backup exists and was checked.
    Succeeded,
    /// It was given up.
    Failed,
    /// It was taken back.
    Cancelled,
}

impl JobState {
    /// The word in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state \"{0}\": known are queued, running, succeeded, failed and cancelled")]
pub struct UnknownState(String);

impl FromStr for JobState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [
            Self::Queued,
            Self::Running,
            Self::Succeeded,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
        .ok_or_else(|| UnknownState(word.to_owned()))
    }
}

/// A job as `pgdumpd.backup_status` shows it. Times are the database's; counts are of the present attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JobStatus {
    /// The job.
    pub id: Uuid,
    /// A backup, or a copy of one.
    pub kind: JobKind,
    /// Of a copy: the backup's job.
    pub copy_of: Option<Uuid>,
    /// Of a copy: the name of the storage that it goes to.
    pub copy_to: Option<String>,
    /// The target's name.
    pub target: String,
    /// The caller's word from the spec.
    pub label: Option<String>,
    /// In an application's words: `in_progress`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// The state.
    pub state: JobState,
    /// The present or last attempt; 0 before the first.
    pub attempt: i16,
    /// How many attempts there may be.
    pub max_attempts: i16,
    /// How often another daemon took the job over from one that died.
    pub rescues: i16,
    /// 1 (first) to 5 (last); 6 of a copy.
    pub priority: i16,
    /// What the present attempt is doing.
    pub phase: Option<String>,
    /// 0 to 100. Never falls within an attempt; 100 comes only with success.
    pub progress: f32,
    /// One line for people.
    pub message: Option<String>,
    /// The table whose rows are being read, as `schema.table`.
    pub current_table: Option<String>,
    /// Tables whose rows are complete.
    pub tables_done: Option<i32>,
    /// Tables whose rows will be read.
    pub tables_total: Option<i32>,
    /// Rows so far.
    pub rows_done: Option<i64>,
    /// Bytes that pg_dump has written.
    pub bytes_dumped: Option<i64>,
    /// Bytes that the storage has taken.
    pub bytes_stored: Option<i64>,
    /// When the attempt will probably end.
    pub estimated_end: Option<DateTime<Utc>>,
    /// 1 for the next job of its target; `None` unless the job is queued and due.
    pub queue_position: Option<i64>,
    /// Why a queued job waits.
    pub waits_because: Option<String>,
    /// How long the attempt has run, or ran.
    pub elapsed_seconds: Option<f64>,
    /// The same as `0:05`.
    pub elapsed: Option<String>,
    /// When anything of this last changed.
    pub last_update: DateTime<Utc>,
    /// When somebody asked to cancel.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Storages that hold the backup (of a copy: the backup that it is of).
    pub copies_stored: i64,
    /// Storages that will hold it.
    pub copies_total: i64,
    /// The same as `1 of 2`.
    pub copies: String,
    /// pg_dump's warnings: the first ones, without secrets.
    pub warnings: Vec<String>,
    /// How many warnings there were.
    pub warnings_total: i32,
    /// The step that failed, in this or an earlier attempt.
    pub error_step: Option<String>,
    /// The documented word for the failure.
    pub error_code: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Advice to the operator.
    pub error_hint: Option<String>,
    /// The stored object's size.
    pub size_bytes: Option<i64>,
    /// The stored object's SHA-256, 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// The role that asked.
    pub requested_by: String,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it is or was due.
    pub run_at: DateTime<Utc>,
    /// When the attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the job ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The daemon's process that has, or had, it.
    pub worker_id: Option<Uuid>,
    /// The host of that process, for as long as the queue knows it.
    pub worker_host: Option<String>,
    /// After it, another daemon may take a running job.
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// Which part of the database was asked for, as the database keeps it.
    pub spec: serde_json::Value,
    /// The caller's own object.
    pub metadata: serde_json::Value,
    /// Rows that the target's server estimates, never fewer than have passed.
    pub rows_expected: Option<i64>,
    /// The role that asked to cancel.
    pub cancel_requested_by: Option<String>,
    /// Where the backup is (of a copy: the backup that it is of).
    pub stored_in: Vec<StoredIn>,
    /// Whether the job is queued and no daemon that is alive can do it.
    pub unserved: bool,
}

/// A storage that holds a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoredIn {
    /// The storage's name when it was stored.
    pub storage: String,
    /// The object's key.
    pub object_key: String,
    /// The object's size.
    pub size_bytes: i64,
    /// When it was stored.
    pub stored_at: DateTime<Utc>,
    /// When it was last found to be whole.
    pub last_proved_at: Option<DateTime<Utc>>,
}

impl JobStatus {
    /// Whether nothing but the time that passed differs.
    pub(crate) fn is_as_before(&self, before: &Self) -> bool {
        let timeless = |status: &Self| Self {
            elapsed_seconds: None,
            elapsed: None,
            lease_expires_at: None,
            ..status.clone()
        };
        timeless(self) == timeless(before)
    }
}

impl FromRow<'_, PgRow> for JobStatus {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        let kind: &str = row.try_get("kind")?;
        let Json(warnings) = row.try_get("warnings")?;
        let Json(stored_in) = row.try_get("stored_in")?;
        Ok(Self {
            id: row.try_get("id")?,
            kind: kind.parse().map_err(|error| sqlx::Error::ColumnDecode {
                index: "kind".to_owned(),
                source: Box::<UnknownKind>::new(error),
            })?,
            copy_of: row.try_get("copy_of")?,
            copy_to: row.try_get("copy_to")?,
            target: row.try_get("target")?,
            label: row.try_get("label")?,
            status: row.try_get("status")?,
            state: state.parse().map_err(|error| sqlx::Error::ColumnDecode {
                index: "state".to_owned(),
                source: Box::<UnknownState>::new(error),
            })?,
            attempt: row.try_get("attempt")?,
            max_attempts: row.try_get("max_attempts")?,
            rescues: row.try_get("rescues")?,
            priority: row.try_get("priority")?,
            phase: row.try_get("phase")?,
            progress: row.try_get("progress")?,
            message: row.try_get("message")?,
            current_table: row.try_get("current_table")?,
            tables_done: row.try_get("tables_done")?,
            tables_total: row.try_get("tables_total")?,
            rows_done: row.try_get("rows_done")?,
            bytes_dumped: row.try_get("bytes_dumped")?,
            bytes_stored: row.try_get("bytes_stored")?,
            estimated_end: row.try_get("estimated_end")?,
            queue_position: row.try_get("queue_position")?,
            waits_because: row.try_get("waits_because")?,
            elapsed_seconds: row.try_get("elapsed_seconds")?,
            elapsed: row.try_get("elapsed")?,
            last_update: row.try_get("last_update")?,
            cancel_requested_at: row.try_get("cancel_requested_at")?,
            copies_stored: row.try_get("copies_stored")?,
            copies_total: row.try_get("copies_total")?,
            copies: row.try_get("copies")?,
            warnings,
            warnings_total: row.try_get("warnings_total")?,
            error_step: row.try_get("error_step")?,
            error_code: row.try_get("error_code")?,
            error: row.try_get("error")?,
            error_hint: row.try_get("error_hint")?,
            size_bytes: row.try_get("size_bytes")?,
            sha256: row.try_get("sha256")?,
            requested_by: row.try_get("requested_by")?,
            idempotency_key: row.try_get("idempotency_key")?,
            created_at: row.try_get("created_at")?,
            run_at: row.try_get("run_at")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            worker_id: row.try_get("worker_id")?,
            worker_host: row.try_get("worker_host")?,
            lease_expires_at: row.try_get("lease_expires_at")?,
            spec: row.try_get("spec")?,
            metadata: row.try_get("metadata")?,
            rows_expected: row.try_get("rows_expected")?,
            cancel_requested_by: row.try_get("cancel_requested_by")?,
            stored_in,
            unserved: row.try_get("unserved")?,
        })
    }
}

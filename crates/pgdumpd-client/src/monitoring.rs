//! What is queued or running.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row as _};
use uuid::Uuid;

use crate::error::ClientError;
use crate::sql;
use crate::status::{JobKind, JobState, UnknownKind, UnknownState};

/// A job that is queued or running, as `pgdumpd.backup_monitoring` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MonitoredJob {
    /// The job.
    pub id: Uuid,
    /// The target's name.
    pub target: String,
    /// A backup, or a copy of one.
    pub kind: JobKind,
    /// Of a copy: the backup's job.
    pub copy_of: Option<Uuid>,
    /// Of a copy: the name of the storage that it goes to.
    pub copy_to: Option<String>,
    /// Queued or running.
    pub state: JobState,
    /// What the present attempt is doing.
    pub phase: Option<String>,
    /// 0 to 100.
    pub progress: f32,
    /// Such as `1 of 2`: storages that hold the backup, of those that will.
    pub copies: String,
    /// 1 for the next job of its target; `None` unless the job is queued and due.
    pub queue_position: Option<i64>,
    /// Why a queued job waits.
    pub waits_because: Option<String>,
    /// The role that asked.
    pub requested_by: String,
    /// When anything of this last changed.
    pub last_update: DateTime<Utc>,
    /// The caller's own object.
    pub metadata: serde_json::Value,
    /// Running since, or waiting since.
    pub since: DateTime<Utc>,
    /// The daemon's process that runs it.
    pub worker_id: Option<Uuid>,
    /// The host of that process.
    pub worker_host: Option<String>,
    /// Its id there.
    pub worker_pid: Option<i32>,
    /// When it last sent a heartbeat.
    pub worker_last_seen_at: Option<DateTime<Utc>>,
    /// If it is in the past, the daemon sends no heartbeats, and another one will take the job over.
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// Whether no daemon that is alive can do it.
    pub unserved: bool,
}

impl FromRow<'_, PgRow> for MonitoredJob {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        let kind: &str = row.try_get("kind")?;
        Ok(Self {
            id: row.try_get("id")?,
            target: row.try_get("target")?,
            kind: kind.parse().map_err(|error| sqlx::Error::ColumnDecode {
                index: "kind".to_owned(),
                source: Box::<UnknownKind>::new(error),
            })?,
            copy_of: row.try_get("copy_of")?,
            copy_to: row.try_get("copy_to")?,
            state: state.parse().map_err(|error| sqlx::Error::ColumnDecode {
                index: "state".to_owned(),
                source: Box::<UnknownState>::new(error),
            })?,
            phase: row.try_get("phase")?,
            progress: row.try_get("progress")?,
            copies: row.try_get("copies")?,
            queue_position: row.try_get("queue_position")?,
            waits_because: row.try_get("waits_because")?,
            requested_by: row.try_get("requested_by")?,
            last_update: row.try_get("last_update")?,
            metadata: row.try_get("metadata")?,
            since: row.try_get("since")?,
            worker_id: row.try_get("worker_id")?,
            worker_host: row.try_get("worker_host")?,
            worker_pid: row.try_get("worker_pid")?,
            worker_last_seen_at: row.try_get("worker_last_seen_at")?,
            lease_expires_at: row.try_get("lease_expires_at")?,
            unserved: row.try_get("unserved")?,
        })
    }
}

/// Reads the jobs that are queued or running, of these targets or of all: first what runs, then what has waited longest; at
/// most `limit`.
///
/// # Errors
/// See [`ClientError`].
pub async fn monitoring(
    executor: impl PgExecutor<'_>,
    targets: Option<&[String]>,
    limit: u32,
) -> Result<Vec<MonitoredJob>, ClientError> {
    Ok(sqlx::query_as(sql::MONITORING)
        .bind(targets)
        .bind(i64::from(limit))
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_all(executor)
        .await?)
}

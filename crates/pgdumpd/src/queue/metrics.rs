//! What monitoring asks of the queue: a few rows for each target, storage and kind of job.

use chrono::{DateTime, Utc};
use pgdumpd_client::ClientError;
use sqlx::{PgConnection, Row as _};

const TARGETS: &str = include_str!("sql/target_metrics.sql");
const JOBS: &str = include_str!("sql/job_metrics.sql");
const STORAGES: &str = include_str!("sql/storage_metrics.sql");
const DAEMONS: &str = include_str!("sql/daemon_metrics.sql");

/// What the queue knows, at one time.
#[derive(Debug, Clone, Default)]
pub struct QueueMetrics {
    /// Those that are served or have a backup, by name.
    pub targets: Vec<TargetMetrics>,
    /// For each kind and state.
    pub jobs: Vec<JobMetrics>,
    /// Those that hold something.
    pub storages: Vec<StorageMetrics>,
    /// How many daemons there are in each state: `alive`, `stopping`, `gone`.
    pub daemons: Vec<(String, i64)>,
}

/// One target.
#[derive(Debug, Clone)]
pub struct TargetMetrics {
    /// Its name.
    pub target: String,
    /// How many daemons that are alive serve it.
    pub daemons: i64,
    /// When its newest backup ended.
    pub last_success_at: Option<DateTime<Utc>>,
    /// That backup's size in bytes.
    pub last_size_bytes: Option<i64>,
    /// How long that backup's last attempt ran.
    pub last_seconds: Option<f64>,
    /// When a backup of it last ended as failed.
    pub last_failure_at: Option<DateTime<Utc>>,
    /// When a stored backup of it was last verified.
    pub last_proved_at: Option<DateTime<Utc>>,
    /// Backups that are queued.
    pub queued_jobs: i64,
    /// Backups that are running.
    pub running_jobs: i64,
}

/// Jobs of one kind in one state.
#[derive(Debug, Clone)]
pub struct JobMetrics {
    /// `backup` or `copy`.
    pub kind: String,
    /// `queued` or `running`.
    pub state: String,
    /// How many.
    pub jobs: i64,
    /// Since when the oldest of them is due.
    pub oldest_due_at: Option<DateTime<Utc>>,
}

/// What one storage holds.
#[derive(Debug, Clone)]
pub struct StorageMetrics {
    /// Its name.
    pub storage: String,
    /// Backups and copies.
    pub backups: i64,
    /// Their size.
    pub stored_bytes: i64,
}

/// Reads all of it, one statement after the other.
pub(super) async fn read(connection: &mut PgConnection) -> Result<QueueMetrics, ClientError> {
    let mut metrics = QueueMetrics::default();
    for row in sqlx::query(TARGETS).fetch_all(&mut *connection).await? {
        metrics.targets.push(TargetMetrics {
            target: row.try_get("target")?,
            daemons: row.try_get("daemons")?,
            last_success_at: row.try_get("last_success_at")?,
            last_size_bytes: row.try_get("last_size_bytes")?,
            last_seconds: row.try_get("last_seconds")?,
            last_failure_at: row.try_get("last_failure_at")?,
            last_proved_at: row.try_get("last_proved_at")?,
            queued_jobs: row.try_get("queued_jobs")?,
            running_jobs: row.try_get("running_jobs")?,
        });
    }
    for row in sqlx::query(JOBS).fetch_all(&mut *connection).await? {
        metrics.jobs.push(JobMetrics {
            kind: row.try_get("kind")?,
            state: row.try_get("state")?,
            jobs: row.try_get("jobs")?,
            oldest_due_at: row.try_get("oldest_due_at")?,
        });
    }
    for row in sqlx::query(STORAGES).fetch_all(&mut *connection).await? {
        metrics.storages.push(StorageMetrics {
            storage: row.try_get("storage")?,
            backups: row.try_get("backups")?,
            stored_bytes: row.try_get("stored_bytes")?,
        });
    }
    for row in sqlx::query(DAEMONS).fetch_all(connection).await? {
        metrics
            .daemons
            .push((row.try_get("state")?, row.try_get("daemons")?));
    }
    Ok(metrics)
}

//! The daemons, as they show themselves to one another and to the views.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::claim::{ids_of, names_of};
use super::{Queue, QueueError, ServedStorage};
use crate::spec::SPEC_VERSIONS;

const REGISTER: &str = include_str!("sql/register_worker.sql");
const RECORD_CHECKS: &str = include_str!("sql/record_checks.sql");
const LIVE: &str = include_str!("sql/live_workers.sql");
const REMOVE: &str = include_str!("sql/remove_worker.sql");
const PRUNE: &str = include_str!("sql/prune_workers.sql");

/// This process, as other daemons and the views see it.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Random for each process start.
    pub id: Uuid,
    /// Host name, for people.
    pub host: String,
    /// Process id.
    pub pid: i32,
    /// This build.
    pub version: String,
    /// Jobs at once.
    pub max_jobs: i32,
    /// Copies at once, beside them.
    pub max_copies: i32,
    /// The configured lease.
    pub lease: Duration,
}

/// A daemon that was seen within its lease.
#[derive(Debug, Clone)]
pub struct LiveWorker {
    /// Random for each process start.
    pub id: Uuid,
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: i32,
    /// Its build.
    pub version: String,
    /// What it serves.
    pub targets: Vec<String>,
    /// Whether it claims no more.
    pub stopping: bool,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it was last seen.
    pub last_seen_at: DateTime<Utc>,
    /// What its own checks found, as `record_checks` stored it.
    pub checks: Option<serde_json::Value>,
}

impl Queue {
    /// Registers this process, or renews last_seen_at, its targets and storages, what each target means to it, and
    /// whether it is stopping.
    /// Returns the database's time.
    ///
    /// # Errors
    /// [`QueueError::Replaced`] where the address leads to another queue by now; nothing is written to that one.
    /// Else the database's; may be repeated.
    pub async fn register(
        &self,
        worker: &Worker,
        targets: &[String],
        storages: &[ServedStorage],
        settings: &serde_json::Value,
        stopping: bool,
    ) -> Result<DateTime<Utc>, QueueError> {
        let statement = sqlx::query(REGISTER)
            .bind(worker.id)
            .bind(&worker.host)
            .bind(worker.pid)
            .bind(&worker.version)
            .bind(targets)
            .bind(SPEC_VERSIONS)
            .bind(worker.max_jobs)
            .bind(worker.lease.as_secs_f64())
            .bind(stopping)
            .bind(self.id())
            .bind(names_of(storages))
            .bind(worker.max_copies)
            .bind(settings)
            .bind(ids_of(storages));
        let row = self.inner.connections.fetch_optional(statement).await?;
        let row = row.ok_or(QueueError::NoIdentity)?;
        let found: Uuid = row.try_get("queue_id")?;
        if found != self.id() {
            let known = self.id();
            return Err(QueueError::Replaced { found, known });
        }
        Ok(row.try_get("now")?)
    }

    /// Stores the results of the daemon's own checks.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn record_checks(
        &self,
        worker: Uuid,
        checks: &serde_json::Value,
    ) -> Result<(), QueueError> {
        let statement = sqlx::query(RECORD_CHECKS).bind(worker).bind(checks);
        self.inner.connections.fetch_all(statement).await.map(drop)
    }

    /// The daemons that were seen within their lease, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn live_workers(&self) -> Result<Vec<LiveWorker>, QueueError> {
        let rows = self.inner.connections.fetch_all(sqlx::query(LIVE)).await?;
        let workers = rows.iter().map(|row| {
            Ok(LiveWorker {
                id: row.try_get("id")?,
                host: row.try_get("host")?,
                pid: row.try_get("pid")?,
                version: row.try_get("version")?,
                targets: row.try_get("targets")?,
                stopping: row.try_get("stopping")?,
                started_at: row.try_get("started_at")?,
                last_seen_at: row.try_get("last_seen_at")?,
                checks: row.try_get("checks")?,
            })
        });
        workers
            .collect::<Result<_, sqlx::Error>>()
            .map_err(QueueError::from)
    }

    /// Forgets this process, which ends in good order.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn unregister(&self, worker: Uuid) -> Result<(), QueueError> {
        let statement = sqlx::query(REMOVE).bind(worker);
        self.inner.connections.fetch_all(statement).await.map(drop)
    }

    /// Forgets daemons that were not seen for a week. Returns how many.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn prune_workers(&self) -> Result<u64, QueueError> {
        let gone = self.inner.connections.fetch_all(sqlx::query(PRUNE)).await?;
        Ok(gone.len() as u64)
    }
}

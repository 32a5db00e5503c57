//! What the operator's page shows beside what applications may ask: targets, attempts, storages and daemons.

use chrono::{DateTime, Utc};
use pgdumpd_client::ClientError;
use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row as _};
use uuid::Uuid;

use super::applications::Applications;
use super::connections::Question;
use super::error::ApplicationError;

const TARGETS: &str = include_str!("sql/overview_targets.sql");
const COUNTS: &str = include_str!("sql/overview_counts.sql");
const ATTEMPTS: &str = include_str!("sql/attempts_of_job.sql");
const STORAGES: &str = include_str!("sql/storages_of_backup.sql");
const DAEMONS: &str = include_str!("sql/daemons.sql");

/// How many of a target's newest backups are compared with each other.
const RECENT: i64 = 20;

/// The most attempts of one job: the newest.
const MOST_ATTEMPTS: i64 = 200;

/// The most daemons.
const MOST_DAEMONS: i64 = 200;

/// A target, with its last backup that still exists.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetOverview {
    /// Its name.
    pub target: String,
    /// How many daemons that are alive serve it.
    pub daemons: i64,
    /// The newest backup that is in a storage.
    pub good_id: Option<Uuid>,
    /// When that ended.
    pub good_finished_at: Option<DateTime<Utc>>,
    /// Its size as it was stored first.
    pub good_size_bytes: Option<i64>,
    /// Whether filters left something out of it.
    pub good_is_partial: Option<bool>,
    /// The storages that hold it.
    pub good_storages: Vec<String>,
    /// The newest backup that has ended, however.
    pub last_id: Option<Uuid>,
    /// How.
    pub last_state: Option<String>,
    /// When.
    pub last_finished_at: Option<DateTime<Utc>>,
    /// Expression and zone of each schedule that a daemon has.
    pub schedules: Vec<String>,
    /// The newest backups, the oldest of them first.
    pub recent: Json<Vec<RecentBackup>>,
}

/// How long a backup took and how large it was.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RecentBackup {
    /// Its job.
    pub id: Uuid,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Of the attempt that made it.
    pub seconds: Option<f64>,
    /// Of the stored object.
    pub size_bytes: Option<i64>,
}

/// How many jobs have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCounts {
    /// The database's time.
    pub now: DateTime<Utc>,
    /// Jobs that wait.
    pub queued: i64,
    /// Jobs that run.
    pub running: i64,
}

/// One attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number; one that was handed back uncounted has that of the next.
    pub attempt: i16,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended, or `running`.
    pub outcome: String,
    /// The step that failed.
    pub error_step: Option<String>,
    /// A stable word.
    pub error_code: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// When the job was due again after it.
    pub requeued_for: Option<DateTime<Utc>>,
    /// The daemon's host, unless the queue has forgotten it.
    pub host: Option<String>,
}

/// A storage that has, or had, a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageOfBackup {
    /// The storage's name then.
    pub storage: String,
    /// Of the object.
    pub size_bytes: i64,
    /// `stored`, `deleting` or `deleted`.
    pub state: String,
    /// When it was stored.
    pub stored_at: DateTime<Utc>,
    /// When it was last found to be whole.
    pub last_proved_at: Option<DateTime<Utc>>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A daemon, and what its own checks found.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonStatus {
    /// Random for each start.
    pub id: Uuid,
    /// Its host.
    pub host: String,
    /// Its process there.
    pub pid: i32,
    /// Of pgdumpd.
    pub version: String,
    /// `alive`, `stopping` or `gone`.
    pub state: String,
    /// Backups at the same time.
    pub max_jobs: i32,
    /// Copies beside them.
    pub max_copies: i32,
    /// Backups that it runs.
    pub running_jobs: i64,
    /// Copies that it makes.
    pub running_copies: i64,
    /// The targets that it serves.
    pub targets: Vec<String>,
    /// The storages of its configuration.
    pub storages: Vec<String>,
    /// What its checks found, as it stored it.
    pub checks: Option<serde_json::Value>,
    /// When.
    pub checked_at: Option<DateTime<Utc>>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last sent a heartbeat.
    pub last_seen_at: DateTime<Utc>,
}

/// A row whose columns have the names of the fields.
macro_rules! read_by_name {
    ($row:ident: $($field:ident),+) => {
        impl FromRow<'_, PgRow> for $row {
            fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self {
                    $($field: row.try_get(stringify!($field))?),+
                })
            }
        }
    };
}

read_by_name!(TargetOverview: target, daemons, good_id, good_finished_at, good_size_bytes, good_is_partial, good_storages, last_id, last_state, last_finished_at, schedules, recent);
read_by_name!(OpenCounts: now, queued, running);
read_by_name!(Attempt: attempt, started_at, ended_at, outcome, error_step, error_code, error, requeued_for, host);
read_by_name!(StorageOfBackup: storage, size_bytes, state, stored_at, last_proved_at, deleted_at);
read_by_name!(DaemonStatus: id, host, pid, version, state, max_jobs, max_copies, running_jobs, running_copies, targets, storages, checks, checked_at, started_at, last_seen_at);

impl Applications {
    /// Reads the targets that a daemon serves or that have a backup, of these names or all, by name.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn target_overviews(
        &self,
        names: Option<Vec<String>>,
    ) -> Result<Vec<TargetOverview>, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            let query = sqlx::query_as(TARGETS).bind(names).bind(RECENT);
            rows(query, connection)
        });
        asked.await
    }

    /// Counts the jobs that have not ended, of these targets or all.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn open_counts(
        &self,
        targets: Option<Vec<String>>,
    ) -> Result<OpenCounts, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            Box::pin(async move {
                let query: Query<'_, OpenCounts> = sqlx::query_as(COUNTS).bind(targets);
                Ok(query.persistent(false).fetch_one(connection).await?)
            }) as Question<'_, _>
        });
        asked.await
    }

    /// Reads a job's attempts, the oldest first.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn attempts(&self, job: Uuid) -> Result<Vec<Attempt>, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            let query = sqlx::query_as(ATTEMPTS).bind(job).bind(MOST_ATTEMPTS);
            rows(query, connection)
        });
        asked.await
    }

    /// Reads which storages have, or had, a backup.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn storages_of_backup(
        &self,
        job: Uuid,
    ) -> Result<Vec<StorageOfBackup>, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            let query = sqlx::query_as(STORAGES).bind(job);
            rows(query, connection)
        });
        asked.await
    }

    /// Reads the daemons, first those that are alive.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn daemons(&self) -> Result<Vec<DaemonStatus>, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            let query = sqlx::query_as(DAEMONS).bind(MOST_DAEMONS);
            rows(query, connection)
        });
        asked.await
    }
}

type Query<'q, T> = sqlx::query::QueryAs<'q, sqlx::Postgres, T, sqlx::postgres::PgArguments>;

/// All rows, without a statement that a pooler's session would keep.
fn rows<'c, T>(query: Query<'static, T>, connection: &'c mut PgConnection) -> Question<'c, Vec<T>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static,
{
    Box::pin(async move {
        let rows = query.persistent(false).fetch_all(connection).await;
        rows.map_err(ClientError::from)
    })
}

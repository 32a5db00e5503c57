//! The copies of a backup: one row for each storage that holds it.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError, Recorded};

const COPIES: &str = concat!(
    include_str!("sql/recorded_copies.sql"),
    "WHERE c.job_id = $1 AND c.state = 'stored' ORDER BY c.stored_at, c.storage_id"
);
const RECORD_PROVED: &str = include_str!("sql/record_proved.sql");
const CANCEL_COPIES: &str = include_str!("sql/cancel_copies.sql");
const ASK_FOR_COPY: &str = include_str!("sql/ask_for_copy.sql");
const OPEN_COPIES: &str = include_str!("sql/open_copies.sql");

/// A stored copy of a job's backup.
#[derive(Debug, Clone)]
pub struct CopyRow {
    /// The storage's name when it was stored.
    pub storage: String,
    /// The storage's id.
    pub storage_id: Uuid,
    /// The object's key.
    pub object_key: String,
    /// The object's size in bytes.
    pub size_bytes: i64,
    /// What else is known of the backup.
    pub recorded: Recorded,
}

/// A copy that was asked for and has not ended.
#[derive(Debug, Clone)]
pub struct OpenCopy {
    /// The copy's job.
    pub job: Uuid,
    /// The storage that it is to go to.
    pub to: String,
    /// Whether a daemon makes it now.
    pub runs: bool,
}

const BACKUPS_BETWEEN: &str = include_str!("sql/backups_between.sql");
const NEWEST_BACKUP: &str =
    "SELECT t.last_success_id AS id FROM pgdumpd.target_status AS t WHERE t.target = $1";
const NEWEST_BACKUP_AT: &str = include_str!("sql/newest_backup_at.sql");

impl Queue {
    /// The backups with ids from `first` to `last`, at most 4.
    ///
    /// # Errors
    /// The database's.
    pub async fn backups_between(&self, first: Uuid, last: Uuid) -> Result<Vec<Uuid>, QueueError> {
        let statement = sqlx::query(BACKUPS_BETWEEN).bind(first).bind(last);
        let rows = self.inner.connections.fetch_all(statement).await?;
        let ids = rows.iter().map(|row| row.try_get("id"));
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// The newest backup of a target that succeeded, or the newest that was begun at this time or before.
    ///
    /// # Errors
    /// The database's.
    pub async fn newest_backup(
        &self,
        target: &str,
        at: Option<DateTime<Utc>>,
    ) -> Result<Option<Uuid>, QueueError> {
        let statement = match at {
            None => sqlx::query(NEWEST_BACKUP).bind(target),
            Some(at) => sqlx::query(NEWEST_BACKUP_AT).bind(target).bind(at),
        };
        let row = self.inner.connections.fetch_optional(statement).await?;
        Ok(row.map(|row| row.try_get("id")).transpose()?)
    }

    /// The stored copies of this job's backup, the first one first; empty if the job has no backup, or none any
    /// more.
    ///
    /// # Errors
    /// The database's.
    pub async fn copies_of(&self, job: Uuid) -> Result<Vec<CopyRow>, QueueError> {
        let statement = sqlx::query(COPIES).bind(job);
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(CopyRow {
                    storage: row.try_get("storage")?,
                    storage_id: row.try_get("storage_id")?,
                    object_key: row.try_get("object_key")?,
                    size_bytes: row.try_get("size_bytes")?,
                    recorded: Recorded::read(row)?,
                })
            })
            .collect()
    }

    /// Notes that the backup was read again in this storage, and is what was stored.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_proved(
        &self,
        job: Uuid,
        storage_id: Uuid,
        object_key: &str,
    ) -> Result<(), QueueError> {
        let statement = sqlx::query(RECORD_PROVED)
            .bind(job)
            .bind(storage_id)
            .bind(object_key);
        self.inner
            .connections
            .fetch_optional(statement)
            .await
            .map(drop)
    }

    /// The copies of this job's backup that have not ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_copies(&self, job: Uuid) -> Result<Vec<OpenCopy>, QueueError> {
        let statement = sqlx::query(OPEN_COPIES).bind(job);
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(OpenCopy {
                    job: row.try_get("job_id")?,
                    to: row.try_get("copy_to")?,
                    runs: row.try_get("runs")?,
                })
            })
            .collect()
    }

    /// Asks for a copy of this job's backup in a further storage; `None` if it is in progress, or no storage holds the
    /// backup.
    ///
    /// # Errors
    /// The database's.
    pub async fn ask_for_copy(&self, job: Uuid, to: &str) -> Result<Option<Uuid>, QueueError> {
        let statement = sqlx::query(ASK_FOR_COPY).bind(job).bind(to);
        let row = self.inner.connections.fetch_optional(statement).await?;
        row.map(|row| Ok(row.try_get("id")?)).transpose()
    }

    /// Asks to cancel each of them. One that runs is stopped by its daemon, a moment later.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn cancel_copies(&self, job: Uuid) -> Result<(), QueueError> {
        let statement = sqlx::query(CANCEL_COPIES).bind(job);
        self.inner.connections.fetch_all(statement).await.map(drop)
    }
}

//! The copies of a backup: one row for each storage that holds it.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const COPIES: &str = include_str!("sql/copies_of.sql");
const STORED_BACKUPS: &str = include_str!("sql/stored_backups.sql");
const MARK_DELETED: &str = include_str!("sql/mark_copy_deleted.sql");

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
    /// When it was stored.
    pub stored_at: DateTime<Utc>,
}

/// A backup of a job that has ended, as the queue knows it.
#[derive(Debug, Clone)]
pub struct StoredBackup {
    /// The job.
    pub job: Uuid,
    /// What it asked for, as enqueued.
    pub spec: serde_json::Value,
    /// The object's key.
    pub object_key: String,
    /// Whether a copy under this key is noted as stored.
    pub noted: bool,
}

impl Queue {
    /// What was stored of this target in this storage, newest first by the database's clock: what is noted as
    /// stored, and of these `keys` all that the queue knows of. Nothing once the queue has been given another id
    /// than the one that this connected to.
    ///
    /// # Errors
    /// The database's.
    pub async fn stored_backups(
        &self,
        target: &str,
        storage_id: Uuid,
        keys: &[String],
    ) -> Result<Vec<StoredBackup>, QueueError> {
        let statement = sqlx::query(STORED_BACKUPS)
            .bind(self.id())
            .bind(target)
            .bind(storage_id)
            .bind(keys);
        let rows = self.inner.link.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredBackup {
                    job: row.try_get("job_id")?,
                    spec: row.try_get("spec")?,
                    object_key: row.try_get("object_key")?,
                    noted: row.try_get("noted")?,
                })
            })
            .collect()
    }

    /// The first stored copy of this job's backup; none where the job has no backup, or none any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn copy_of(&self, job: Uuid) -> Result<Option<CopyRow>, QueueError> {
        let row = self
            .inner
            .link
            .fetch_optional(sqlx::query(COPIES).bind(job))
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(CopyRow {
            storage: row.try_get("storage")?,
            storage_id: row.try_get("storage_id")?,
            object_key: row.try_get("object_key")?,
            size_bytes: row.try_get("size_bytes")?,
            stored_at: row.try_get("stored_at")?,
        }))
    }

    /// Notes that the copy under this key is gone from this storage. False: none was noted as stored.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn mark_copy_deleted(
        &self,
        storage_id: Uuid,
        object_key: &str,
    ) -> Result<bool, QueueError> {
        let statement = sqlx::query(MARK_DELETED).bind(storage_id).bind(object_key);
        Ok(self.inner.link.fetch_optional(statement).await?.is_some())
    }
}

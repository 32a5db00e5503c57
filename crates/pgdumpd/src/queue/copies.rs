//! The copies of a backup: one row for each storage that holds it.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const COPIES: &str = include_str!("sql/copies_of.sql");
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

impl Queue {
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

    /// Notes that the copy in this storage is gone. False: it was not noted as stored.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn mark_copy_deleted(&self, job: Uuid, storage_id: Uuid) -> Result<bool, QueueError> {
        let statement = sqlx::query(MARK_DELETED).bind(job).bind(storage_id);
        Ok(self.inner.link.fetch_optional(statement).await?.is_some())
    }
}

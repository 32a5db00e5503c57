//! What the queue records of a target in one storage, in the order in which backups are kept, and the decision to delete
//! one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError, Recorded};

const KEPT: &str = include_str!("sql/kept_backups.sql");
const RECORDED: &str = concat!(
    include_str!("sql/recorded_copies.sql"),
    "WHERE c.storage_id = $1 AND c.target = $2 AND c.state = 'stored'"
);
const BEGIN: &str = include_str!("sql/begin_deletion.sql");
const MARK_DELETED: &str = include_str!("sql/mark_copy_deleted.sql");
const UNFINISHED: &str = include_str!("sql/unfinished_attempts.sql");

/// A backup that the queue records in a storage.
#[derive(Debug, Clone)]
pub struct KeptBackup {
    /// Its job.
    pub job: Uuid,
    /// What that asked for, as enqueued.
    pub spec: serde_json::Value,
    /// The object's key.
    pub object_key: String,
    /// When the attempt was claimed that dumped it, by the queue's clock; `None` if nobody knows it.
    pub claimed_at: Option<DateTime<Utc>>,
    /// Whether its deletion was begun, so that it is not a backup any more.
    pub deleting: bool,
    /// The role that asked for it; `None` for the roles that act for all jobs.
    pub producer: Option<String>,
}

impl Queue {
    /// What is recorded of this target in this storage, newest first by the queue's clock; what has no known age comes
    /// last. Nothing once the queue has been given another id than the one that this connected to.
    ///
    /// # Errors
    /// The database's.
    pub async fn kept_backups(
        &self,
        target: &str,
        storage_id: Uuid,
    ) -> Result<Vec<KeptBackup>, QueueError> {
        let statement = sqlx::query(KEPT).bind(self.id()).bind(target);
        let rows = self
            .inner
            .connections
            .fetch_all(statement.bind(storage_id))
            .await?;
        rows.iter()
            .map(|row| {
                Ok(KeptBackup {
                    job: row.try_get("job_id")?,
                    spec: row.try_get("spec")?,
                    object_key: row.try_get("object_key")?,
                    claimed_at: row.try_get("claimed_at")?,
                    deleting: row.try_get("deleting")?,
                    producer: row.try_get("producer")?,
                })
            })
            .collect()
    }

    /// What else is known of the backups of this target that are stored in this storage, by object key: their manifests
    /// are compared with it.
    ///
    /// # Errors
    /// The database's.
    pub async fn recorded_of_target(
        &self,
        target: &str,
        storage_id: Uuid,
    ) -> Result<HashMap<String, Recorded>, QueueError> {
        let statement = sqlx::query(RECORDED).bind(storage_id).bind(target);
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("object_key")?, Recorded::read(row)?)))
            .collect()
    }

    /// Begins to delete a backup from one storage, if at least this many of the `kept` ones are stored there now and
    /// are newer than it, and no copy reads it at this moment. False: it stays.
    ///
    /// # Errors
    /// The database's; the deletion may have begun: whoever applies the rules next finishes it.
    pub async fn begin_deletion(
        &self,
        storage_id: Uuid,
        object_key: &str,
        kept: &[String],
        at_least: u32,
    ) -> Result<bool, QueueError> {
        let statement = sqlx::query(BEGIN)
            .bind(self.id())
            .bind(storage_id)
            .bind(object_key)
            .bind(kept)
            .bind(i64::from(at_least));
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }

    /// Notes that the copy under this key is gone from this storage. False: none was recorded there.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn mark_copy_deleted(
        &self,
        storage_id: Uuid,
        object_key: &str,
    ) -> Result<bool, QueueError> {
        let statement = sqlx::query(MARK_DELETED).bind(storage_id).bind(object_key);
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }

    /// Those of these attempts, by their lease tokens, whose jobs have not ended: what they stored may be recorded yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn unfinished_attempts(&self, tokens: &[Uuid]) -> Result<Vec<Uuid>, QueueError> {
        let statement = sqlx::query(UNFINISHED).bind(tokens);
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| Ok(row.try_get("lease_token")?))
            .collect()
    }
}

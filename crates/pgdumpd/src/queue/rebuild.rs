//! Rows recreated from manifests, in a queue that was lost.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Queue, QueueError};

const MAY_REBUILD: &str = include_str!("sql/may_rebuild.sql");
const OTHERS: &str = include_str!("sql/rebuild_others.sql");
const IDENTITY: &str = include_str!("sql/rebuild_identity.sql");
const REBUILD: &str = include_str!("sql/rebuild.sql");

/// A backup in one storage, as its manifest describes it.
#[derive(Debug, Clone, Serialize)]
#[expect(
    missing_docs,
    reason = "the columns of backup_jobs, documented in docs/SQL.md"
)]
pub struct KnownBackup {
    pub id: Uuid,
    pub target: String,
    pub database_name: String,
    pub system_identifier: Option<String>,
    pub spec: serde_json::Value,
    pub requested_by: String,
    pub attempt: i16,
    pub lease_token: Uuid,
    pub claimed_at: Option<chrono::DateTime<chrono::Utc>>,
    pub started_at: chrono::DateTime<chrono::Utc>,
    pub finished_at: chrono::DateTime<chrono::Utc>,
    pub size_bytes: u64,
    pub sha256: String,
    pub tables: Option<u64>,
    pub rows: Option<u64>,
    pub dump_bytes: u64,
    pub warnings: serde_json::Value,
    pub warnings_total: u32,
    pub storage: String,
    pub storage_id: Uuid,
    pub object_key: String,
    /// The token in the object's key.
    pub object_token: Uuid,
}

impl Queue {
    /// Whether this role sees every job and may make ones that have ended: the owner, that is.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_rebuild(&self) -> Result<bool, QueueError> {
        match self
            .inner
            .connections
            .fetch_optional(sqlx::query(MAY_REBUILD))
            .await?
        {
            Some(row) => Ok(row.try_get("allowed")?),
            None => Ok(false),
        }
    }

    /// How many jobs there are beside these backups'.
    ///
    /// # Errors
    /// The database's.
    pub async fn jobs_beside(&self, backups: &[Uuid]) -> Result<u64, QueueError> {
        let statement = sqlx::query(OTHERS).bind(backups);
        match self.inner.connections.fetch_optional(statement).await? {
            Some(row) => Ok(row.try_get::<i64, _>("others")?.unsigned_abs()),
            None => Err(QueueError::NoIdentity),
        }
    }

    /// Gives the queue, which holds no job but these backups', the id that they were made under. False: it has other
    /// jobs, or another id, by now. This value keeps the old id: connect again.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn become_queue(&self, id: Uuid, backups: &[Uuid]) -> Result<bool, QueueError> {
        let statement = sqlx::query(IDENTITY).bind(self.id()).bind(id).bind(backups);
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }

    /// Makes the rows of these backups; what is there already stays. Says how many jobs and copies are new. Needs the
    /// owner's rights.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn rebuild(
        &self,
        queue_id: Uuid,
        backups: &[KnownBackup],
    ) -> Result<(u64, u64), QueueError> {
        let statement = sqlx::query(REBUILD).bind(queue_id).bind(Json(backups));
        match self.inner.connections.fetch_optional(statement).await? {
            Some(row) => Ok((
                row.try_get::<i64, _>("jobs")?.unsigned_abs(),
                row.try_get::<i64, _>("copies")?.unsigned_abs(),
            )),
            None => Err(QueueError::NoIdentity),
        }
    }
}

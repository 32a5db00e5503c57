//! What is left of attempts without a backup, once their jobs have ended.

use sqlx::Row as _;
use uuid::Uuid;

use super::claim::{ids_of, names_of};
use super::{Queue, QueueError, ServedStorage};

const LEFTOVERS: &str = include_str!("sql/leftovers.sql");
const MARK_CLEARED: &str = include_str!("sql/mark_cleared.sql");

/// An attempt that nobody cleared up after.
#[derive(Debug, Clone)]
pub struct Leftover {
    /// Its lease token: sessions on the target carry it in their name.
    pub token: Uuid,
    /// Its job, which has ended.
    pub job: Uuid,
    /// The backup that it made, or copied: its own job, or the one that it is a copy of.
    pub backup: Uuid,
    /// Whether the deletion of that backup was requested.
    pub deletion_requested: bool,
    /// Whether it was a copy's, which has nothing on its target.
    pub is_copy: bool,
    /// The target's name.
    pub target: String,
    /// The storage it wrote to, once it had begun.
    pub storage: Option<String>,
    /// That storage's id.
    pub storage_id: Option<Uuid>,
    /// Its object's key.
    pub object_key: Option<String>,
    /// Its upload id, where the storage has such.
    pub upload_id: Option<String>,
}

impl Queue {
    /// Attempts without a backup of ended jobs, oldest first, but for those in `without`: of backups of these targets,
    /// and of copies to these storages.
    ///
    /// # Errors
    /// The database's.
    pub async fn leftovers(
        &self,
        targets: &[String],
        storages: &[ServedStorage],
        limit: i64,
        without: &[Uuid],
    ) -> Result<Vec<Leftover>, QueueError> {
        let statement = sqlx::query(LEFTOVERS)
            .bind(targets)
            .bind(limit)
            .bind(without)
            .bind(names_of(storages))
            .bind(ids_of(storages))
            .bind(self.id());
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(Leftover {
                    token: row.try_get("lease_token")?,
                    job: row.try_get("job_id")?,
                    backup: row.try_get("backup_id")?,
                    deletion_requested: row.try_get("deletion_requested")?,
                    is_copy: row.try_get::<String, _>("kind")? == "copy",
                    target: row.try_get("target")?,
                    storage: row.try_get("storage")?,
                    storage_id: row.try_get("storage_id")?,
                    object_key: row.try_get("object_key")?,
                    upload_id: row.try_get("upload_id")?,
                })
            })
            .collect()
    }

    /// Notes that nothing is left of an attempt. False: another daemon had recorded it.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn mark_cleared(&self, token: Uuid) -> Result<bool, QueueError> {
        let statement = sqlx::query(MARK_CLEARED).bind(token);
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }
}

//! What the queue remembers of storages: which one each name has meant.

use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const KNOWN: &str = include_str!("sql/storages_known.sql");

/// A storage, by a name that it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedStorage {
    /// The name in the configuration, when something was stored there.
    pub name: String,
    /// The storage's id.
    pub id: Uuid,
    /// How many backups it holds that were stored under this name.
    pub backups: i64,
    /// Whether a daemon that is alive has it in its configuration, under whatever name.
    pub served: bool,
}

impl Queue {
    /// Every storage that something was stored in, the one that a name meant last before its earlier ones.
    ///
    /// # Errors
    /// The database's.
    pub async fn remembered_storages(&self) -> Result<Vec<RememberedStorage>, QueueError> {
        let rows = self.inner.connections.fetch_all(sqlx::query(KNOWN)).await?;
        let storages = rows.iter().map(|row| {
            Ok(RememberedStorage {
                name: row.try_get("storage")?,
                id: row.try_get("storage_id")?,
                backups: row.try_get("backups")?,
                served: row.try_get("served")?,
            })
        });
        Ok(storages.collect::<Result<_, sqlx::Error>>()?)
    }
}

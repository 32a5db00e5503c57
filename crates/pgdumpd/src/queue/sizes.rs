//! How large backups turned out.

use sqlx::Row as _;

use super::{Queue, QueueError};

const LAST: &str = include_str!("sql/last_size.sql");

/// The size of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSize {
    /// Of the object.
    pub stored: u64,
    /// Of what pg_dump wrote, before compression; `None` if nobody counted it.
    pub dumped: Option<u64>,
}

impl Queue {
    /// The size of a target's newest backup with the filters of this spec; `None` if there is none among the newest
    /// hundred.
    ///
    /// # Errors
    /// The database's.
    pub async fn last_size(
        &self,
        target: &str,
        spec: &serde_json::Value,
    ) -> Result<Option<StoredSize>, QueueError> {
        let statement = sqlx::query(LAST).bind(target).bind(spec);
        let Some(row) = self.inner.connections.fetch_optional(statement).await? else {
            return Ok(None);
        };
        let stored: Option<i64> = row.try_get("size_bytes")?;
        let dumped: Option<i64> = row.try_get("bytes_dumped")?;
        let bytes = |bytes: i64| u64::try_from(bytes).ok();
        Ok(stored.and_then(bytes).map(|stored| StoredSize {
            stored,
            dumped: dumped.and_then(bytes),
        }))
    }
}

//! Which database each attempt dumped.

use sqlx::Row as _;

use super::{Lease, Queue, QueueError};

const RECORD: &str = include_str!("sql/record_database.sql");
const LAST: &str = include_str!("sql/last_database.sql");

/// A database that was dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedDatabase {
    /// Its name.
    pub name: String,
    /// Its server's system identifier, where the role may read it.
    pub system_identifier: Option<String>,
}

impl Queue {
    /// Notes which database an attempt dumps. Of an attempt that has ended nothing is changed.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn record_database(
        &self,
        lease: &Lease,
        database: &DumpedDatabase,
    ) -> Result<(), QueueError> {
        let statement = sqlx::query(RECORD)
            .bind(lease.token)
            .bind(&database.name)
            .bind(&database.system_identifier);
        self.inner.connections.fetch_all(statement).await.map(drop)
    }

    /// Which database the newest backup of a target is of; `None` if there is no backup, or nobody knows.
    ///
    /// # Errors
    /// The database's.
    pub async fn last_database(&self, target: &str) -> Result<Option<DumpedDatabase>, QueueError> {
        let statement = sqlx::query(LAST).bind(target);
        let Some(row) = self.inner.connections.fetch_optional(statement).await? else {
            return Ok(None);
        };
        Ok(Some(DumpedDatabase {
            name: row.try_get("database_name")?,
            system_identifier: row.try_get("system_identifier")?,
        }))
    }
}

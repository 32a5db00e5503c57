//! Targets that jobs are queued for and that nobody serves, or not yet.

use sqlx::Row as _;

use super::{Queue, QueueError};

const UNSERVED_TARGETS: &str = include_str!("sql/unserved_targets.sql");
const QUEUED_OF_SERVERS: &str = include_str!("sql/queued_of_servers.sql");

impl Queue {
    /// Targets that have queued jobs and that no daemon serves, each with how many; at most 10.
    ///
    /// # Errors
    /// The database's.
    pub async fn unserved_targets(&self) -> Result<Vec<(String, i64)>, QueueError> {
        let statement = sqlx::query(UNSERVED_TARGETS);
        let rows = self.inner.connections.fetch_all(statement).await?;
        let targets = rows
            .iter()
            .map(|row| Ok((row.try_get("target")?, row.try_get("jobs")?)));
        Ok(targets.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Targets of queued backups that are named `SERVER/DATABASE` after one of these servers, and are not among the known
    /// ones; at most 20.
    ///
    /// # Errors
    /// The database's.
    pub async fn queued_of_servers(
        &self,
        servers: &[String],
        known: &[String],
    ) -> Result<Vec<String>, QueueError> {
        let statement = sqlx::query(QUEUED_OF_SERVERS).bind(servers).bind(known);
        let rows = self.inner.connections.fetch_all(statement).await?;
        let targets = rows.iter().map(|row| row.try_get("target"));
        Ok(targets.collect::<Result<_, sqlx::Error>>()?)
    }
}

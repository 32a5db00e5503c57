//! Jobs whose daemons fell silent, and cancels that nobody was there to obey.

use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const EXPIRED: &str = include_str!("sql/reap_expired.sql");
const CANCELLED: &str = include_str!("sql/reap_cancelled.sql");
const ATTEMPTS: &str = include_str!("sql/reap_attempts.sql");

impl Queue {
    /// Takes expired leases back (requeue, or fail after `max_rescues`), and ends queued jobs whose cancel came late,
    /// and attempts that were left running. Returns how many jobs changed.
    ///
    /// Only a daemon that has itself written to the queue for one whole lease may call this: after an
    /// outage of the queue the owners come first.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn reap(&self, max_rescues: u16) -> Result<u64, QueueError> {
        let allowed = i32::from(max_rescues);
        let expired = self
            .count(sqlx::query(EXPIRED).bind(allowed).bind(self.id()))
            .await?;
        let cancelled = self.end_cancelled().await?;
        self.end_attempts_left_running().await?;
        Ok(expired + cancelled)
    }

    async fn end_attempts_left_running(&self) -> Result<(), QueueError> {
        let statement = sqlx::query(ATTEMPTS).bind(self.id());
        for row in self.inner.connections.fetch_all(statement).await? {
            tracing::warn!(
                job.id = %row.try_get::<Uuid, _>("job_id")?,
                lease.token = %row.try_get::<Uuid, _>("lease_token")?,
                "ended an attempt that was running only according to its row: its job was changed by hand"
            );
        }
        Ok(())
    }

    /// The harmless half of [`Queue::reap`], which any daemon may do at any time: ends queued jobs whose
    /// cancel came while they ran or were being claimed. Returns how many.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn end_cancelled(&self) -> Result<u64, QueueError> {
        self.count(sqlx::query(CANCELLED)).await
    }

    async fn count(&self, statement: super::connections::Statement<'_>) -> Result<u64, QueueError> {
        match self.inner.connections.fetch_optional(statement).await? {
            Some(row) => Ok(row.try_get::<i64, _>("jobs")?.unsigned_abs()),
            None => Ok(0),
        }
    }
}

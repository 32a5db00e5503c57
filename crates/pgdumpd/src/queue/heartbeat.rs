//! The heartbeat: lease, progress, cancel and loss in one statement.

use std::time::Duration;

use sqlx::Row as _;

use super::text::{LINE_BYTES, WORD_BYTES, fitted};
use super::{Lease, Queue, QueueError};

const HEARTBEAT: &str = include_str!("sql/heartbeat.sql");
const CANCEL_REQUESTED: &str = include_str!("sql/cancel_requested.sql");

/// What a heartbeat writes beside the lease.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// `preparing`, `catalog`, `data`, `finishing`, `publishing`; docs/SQL.md lists them.
    pub phase: String,
    /// 0 to 99.9; the row never falls back.
    pub percent: f32,
    /// One line for people.
    pub message: String,
    /// `schema.table`.
    pub current_table: Option<String>,
    /// Tables whose data is complete.
    pub tables_done: Option<i32>,
    /// Tables whose data will come.
    pub tables_total: Option<i32>,
    /// Rows so far.
    pub rows_done: Option<i64>,
    /// Rows that the target's server estimates.
    pub rows_expected: Option<i64>,
    /// Bytes that pg_dump wrote.
    pub bytes_dumped: Option<i64>,
    /// Bytes handed to the storage.
    pub bytes_stored: Option<i64>,
    /// Seconds from now to the expected end; the row gets the database's clock plus this.
    pub remaining: Option<Duration>,
}

/// What a heartbeat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease is renewed.
    Renewed {
        /// Somebody asked to cancel.
        cancel: bool,
    },
    /// Another daemon owns the job, or it ended.
    LeaseLost,
}

/// An estimate beyond this says nothing, and could overflow a timestamp.
const LONGEST_ESTIMATE: Duration = Duration::from_secs(30 * 86_400);

impl Queue {
    /// Whether somebody has asked to cancel the job. Reads only.
    ///
    /// # Errors
    /// The database's.
    pub async fn cancel_requested(&self, lease: &Lease) -> Result<bool, QueueError> {
        let statement = sqlx::query(CANCEL_REQUESTED).bind(lease.job);
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }

    /// Renews the lease, writes progress, and returns whether to continue. Uses a connection of its own and gives
    /// up after a third of the lease at most, so that there is time to try again.
    ///
    /// # Errors
    /// The database's; the lease may or may not be renewed then.
    pub async fn heartbeat(
        &self,
        lease: &Lease,
        lasting: Duration,
        progress: &Progress,
    ) -> Result<Beat, QueueError> {
        // In PostgreSQL NaN is greater than every number.
        let percent = if progress.percent.is_finite() {
            progress.percent
        } else {
            0.0
        };
        let remaining = progress
            .remaining
            .map(|left| left.min(LONGEST_ESTIMATE).as_secs_f64());
        let current_table = progress.current_table.as_deref();
        let statement = sqlx::query(HEARTBEAT)
            .bind(lease.job)
            .bind(lease.token)
            .bind(lasting.as_secs_f64())
            .bind(fitted(&progress.phase, WORD_BYTES))
            .bind(percent)
            .bind(fitted(&progress.message, LINE_BYTES))
            .bind(current_table.map(|table| fitted(table, LINE_BYTES)))
            .bind(progress.tables_done)
            .bind(progress.tables_total)
            .bind(progress.rows_done)
            .bind(progress.bytes_dumped)
            .bind(progress.bytes_stored)
            .bind(remaining)
            .bind(progress.rows_expected);
        let connections = &self.inner.heartbeats;
        match connections
            .fetch_optional_within(lasting / 3, statement)
            .await?
        {
            Some(row) => Ok(Beat::Renewed {
                cancel: row.try_get("cancel")?,
            }),
            None => Ok(Beat::LeaseLost),
        }
    }
}

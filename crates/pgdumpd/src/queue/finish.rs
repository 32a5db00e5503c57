//! The end of an attempt.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connections::Statement;
use super::text::{ERROR_BYTES, HINT_BYTES, LINE_BYTES, WORD_BYTES, fitted, fitted_warnings};
use super::{Lease, Progress, Queue, QueueError};
use crate::code::Code;

const COPIED: &str = include_str!("sql/finish_copied.sql");
const SUCCEEDED: &str = include_str!("sql/finish_succeeded.sql");
const FAILED: &str = include_str!("sql/finish_failed.sql");
const CANCELLED: &str = include_str!("sql/finish_cancelled.sql");
const RELEASED: &str = include_str!("sql/finish_released.sql");
const ANSWER: &str = include_str!("sql/finish_answer.sql");

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// The backup's manifest is written.
    Succeeded(Box<Success>),
    /// The copy's manifest is written.
    Copied(Box<Success>),
    /// It failed.
    Failed(Failure),
    /// It was cancelled and everything is cleaned up.
    Cancelled,
    /// Nobody asked, but there is nothing left to do, for this reason: the row ends as cancelled.
    Moot(String),
    /// The daemon stops: the attempt is given back uncounted.
    Released,
}

/// What a successful attempt proved.
#[derive(Debug, Clone)]
pub struct Success {
    /// The storage's name.
    pub storage: String,
    /// The storage's id.
    pub storage_id: Uuid,
    /// The object's key.
    pub object_key: String,
    /// The object's size in bytes.
    pub size_bytes: i64,
    /// Of the object, 64 hexadecimal digits.
    pub sha256: String,
    /// pg_dump's warnings, redacted and bounded.
    pub warnings: Vec<String>,
    /// How many there were.
    pub warnings_total: i32,
    /// The last progress.
    pub progress: Progress,
    /// Of a backup: the storages that it is to be copied to.
    pub copies: Vec<String>,
}

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// `connect`, `prepare`, `dump`, `store`, `publish`, ...
    pub step: &'static str,
    /// A documented word.
    pub code: Code,
    /// The text with its causes, redacted.
    pub error: String,
    /// Advice.
    pub hint: Option<String>,
    /// Whether to try again.
    pub transient: bool,
    /// pg_dump's warnings so far.
    pub warnings: Vec<String>,
    /// How many there were.
    pub warnings_total: i32,
}

/// What became of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// It ended in this state: `succeeded`, `failed` or `cancelled`.
    Ended(&'static str),
    /// It is queued again.
    Requeued {
        /// When it is due.
        run_at: DateTime<Utc>,
    },
    /// The lease was lost: nothing was written.
    LeaseLost,
}

impl Queue {
    /// Ends the attempt. May be repeated with the same outcome when an answer was lost: it then says again
    /// what the first call did.
    ///
    /// Success beats a cancel that came late; a cancel beats another attempt.
    ///
    /// # Errors
    /// The database's; whether the attempt ended is then unknown: repeat the call.
    pub async fn finish(&self, lease: &Lease, outcome: &Outcome) -> Result<Finished, QueueError> {
        let statement = match outcome {
            Outcome::Succeeded(success) => succeeded(lease, success),
            Outcome::Copied(success) => copied(lease, success),
            Outcome::Failed(failure) => failed(lease, failure),
            Outcome::Cancelled => cancelled(lease, None),
            Outcome::Moot(why) => cancelled(lease, Some(why)),
            Outcome::Released => sqlx::query(RELEASED).bind(lease.job).bind(lease.token),
        };
        let connections = &self.inner.connections;
        if let Some(row) = connections.fetch_optional(statement).await? {
            return finished(&row);
        }
        let answer = sqlx::query(ANSWER).bind(lease.job).bind(lease.token);
        match connections.fetch_optional(answer).await? {
            Some(row) => finished(&row),
            None => Ok(Finished::LeaseLost),
        }
    }

    /// Releases whatever job this token holds. False: none.
    pub(super) async fn give_back(&self, token: Uuid) -> Result<bool, QueueError> {
        let statement = sqlx::query(RELEASED).bind(None::<Uuid>).bind(token);
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }
}

fn succeeded<'q>(lease: &Lease, success: &Success) -> Statement<'q> {
    let progress = &success.progress;
    sqlx::query(SUCCEEDED)
        .bind(lease.job)
        .bind(lease.token)
        .bind(success.storage.clone())
        .bind(success.storage_id)
        .bind(success.object_key.clone())
        .bind(success.size_bytes)
        .bind(success.sha256.clone())
        .bind(fitted_warnings(&success.warnings))
        .bind(success.warnings_total)
        .bind(fitted(&progress.message, LINE_BYTES))
        .bind(progress.tables_done)
        .bind(progress.tables_total)
        .bind(progress.rows_done)
        .bind(progress.bytes_dumped)
        .bind(progress.bytes_stored)
        .bind(success.copies.clone())
}

fn copied<'q>(lease: &Lease, success: &Success) -> Statement<'q> {
    sqlx::query(COPIED)
        .bind(lease.job)
        .bind(lease.token)
        .bind(success.storage.clone())
        .bind(success.storage_id)
        .bind(success.object_key.clone())
        .bind(success.size_bytes)
        .bind(success.sha256.clone())
        .bind(fitted(&success.progress.message, LINE_BYTES))
        .bind(success.progress.bytes_stored)
}

fn cancelled<'q>(lease: &Lease, why: Option<&str>) -> Statement<'q> {
    sqlx::query(CANCELLED)
        .bind(lease.job)
        .bind(lease.token)
        .bind(why.map(|why| fitted(why, LINE_BYTES)))
}

fn failed<'q>(lease: &Lease, failure: &Failure) -> Statement<'q> {
    let hint = failure.hint.as_deref();
    sqlx::query(FAILED)
        .bind(lease.job)
        .bind(lease.token)
        .bind(failure.transient)
        .bind(fitted(failure.step, WORD_BYTES))
        .bind(failure.code.as_str())
        .bind(fitted(&failure.error, ERROR_BYTES))
        .bind(hint.map(|hint| fitted(hint, HINT_BYTES)))
        .bind(fitted_warnings(&failure.warnings))
        .bind(failure.warnings_total)
}

fn finished(row: &PgRow) -> Result<Finished, QueueError> {
    if let Some(run_at) = row.try_get("requeued_for")? {
        return Ok(Finished::Requeued { run_at });
    }
    let state: String = row.try_get("state")?;
    Ok(match state.as_str() {
        "succeeded" => Finished::Ended("succeeded"),
        "failed" => Finished::Ended("failed"),
        "cancelled" => Finished::Ended("cancelled"),
        _ => Finished::LeaseLost,
    })
}

//! Taking a request back.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::ClientError;
use crate::sql;

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cancelled {
    /// The job was queued, and has ended.
    Cancelled,
    /// The job runs; its daemon stops it within moments. It may still succeed, if it had all but ended.
    Cancelling,
    /// The job had succeeded; nothing changed.
    AlreadySucceeded,
    /// The job had failed; nothing changed.
    AlreadyFailed,
    /// The job had been cancelled; nothing changed.
    AlreadyCancelled,
    /// No job of the session's user has this id.
    NotFound,
}

/// Cancels a job: a queued one at once, a running one by asking its daemon.
///
/// With a transaction as executor it takes effect with the commit.
///
/// # Errors
/// See [`ClientError`]. To cancel again is harmless.
pub async fn cancel(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Cancelled, ClientError> {
    let word: String = sqlx::query_scalar(sql::CANCEL)
        .bind(id)
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_one(executor)
        .await?;
    match word.as_str() {
        "cancelled" => Ok(Cancelled::Cancelled),
        "cancelling" => Ok(Cancelled::Cancelling),
        "already_succeeded" => Ok(Cancelled::AlreadySucceeded),
        "already_failed" => Ok(Cancelled::AlreadyFailed),
        "already_cancelled" => Ok(Cancelled::AlreadyCancelled),
        "not_found" => Ok(Cancelled::NotFound),
        _ => Err(ClientError::Database(sqlx::Error::Decode(
            format!("pgdumpd.cancel_backup returned \"{word}\", which this crate does not know")
                .into(),
        ))),
    }
}

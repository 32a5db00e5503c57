//! Asking for a backup.

use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use crate::error::ClientError;
use crate::request::BackupRequest;
use crate::sql;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job's id: the request's, or that of the earlier job which its idempotency key found.
    pub id: Uuid,
    /// False where the idempotency key or the id found an earlier job of the same role, whatever became of
    /// that one.
    pub is_new: bool,
}

/// Enqueues a backup.
///
/// With a transaction as executor the job exists if and only if the transaction commits, and starts after it.
///
/// # Errors
/// See [`ClientError`]. After [`ClientError::Database`], or when the future is dropped, the job may or may
/// not exist. To enqueue the same request again is safe: it has its id already, and finds its own job.
pub async fn enqueue(
    executor: impl PgExecutor<'_>,
    request: &BackupRequest,
) -> Result<Enqueued, ClientError> {
    request.validate()?;
    let row = sqlx::query(sql::ENQUEUE)
        .bind(request.id)
        .bind(&request.target)
        .bind(request.spec_json())
        .bind(request.priority)
        .bind(request.run_at)
        .bind(&request.idempotency_key)
        .bind(request.max_attempts)
        .bind(request.timeout.map(|timeout| timeout.as_secs_f64()))
        .bind(&request.metadata)
        .bind(&request.trace_parent)
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_one(executor)
        .await
        .map_err(|error| refine(error, request))?;
    Ok(Enqueued {
        id: row.try_get("job_id")?,
        is_new: row.try_get("is_new")?,
    })
}

/// Names the id where it is taken. By the function's own words, which are never translated (the server's language
/// changes only the server's own messages).
fn refine(error: sqlx::Error, request: &BackupRequest) -> ClientError {
    let taken = error.as_database_error().is_some_and(|server| {
        server.is_unique_violation() && server.message().starts_with("a backup job with the id")
    });
    if taken {
        ClientError::IdTaken { id: request.id }
    } else {
        error.into()
    }
}

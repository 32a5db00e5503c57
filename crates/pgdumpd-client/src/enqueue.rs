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
        .fetch_one(executor)
        .await
        .map_err(|error| refine(error, request))?;
    Ok(Enqueued {
        id: row.try_get("job_id")?,
        is_new: row.try_get("is_new")?,
    })
}

/// Tells the two unique violations of the function apart. By its own words, which are never translated
/// (the server's language changes only the server's own messages).
fn refine(error: sqlx::Error, request: &BackupRequest) -> ClientError {
    let Some(server) = error.as_database_error() else {
        return error.into();
    };
    if !server.is_unique_violation() {
        return error.into();
    }
    match &request.idempotency_key {
        Some(key) if server.message().starts_with("the idempotency key") => {
            ClientError::KeyOfAnotherRole { key: key.clone() }
        }
        _ => ClientError::IdTaken { id: request.id },
    }
}

//! Enqueueing and waiting in one call, never inside a transaction.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};

use crate::enqueue::enqueue;
use crate::error::ClientError;
use crate::request::BackupRequest;
use crate::sql;
use crate::status::{JobStatus, status};
use crate::watch::watch;

/// How often a wait on a single connection asks.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Enqueues a backup and waits until its job has ended, well or not: the status says which.
/// None: the job's row was deleted meanwhile.
///
/// For instance before a migration. The wait is a [`watch`]: it holds no connection of the pool, and bears
/// a short outage of the database.
///
/// # Errors
/// See [`ClientError`]; those of [`enqueue`] say that no job exists, as documented there. An error that
/// comes later ends the wait, not the job: [`watch`] the id of the request again. The same holds where the
/// future is dropped.
pub async fn enqueue_and_wait(
    pool: &PgPool,
    request: &BackupRequest,
) -> Result<Option<JobStatus>, ClientError> {
    let enqueued = {
        let mut connection = pool.acquire().await?;
        // A pool may hand out a connection on which somebody left a transaction open.
        refuse_a_transaction(&mut connection).await?;
        enqueue(&mut *connection, request).await?
    };
    watch(pool, enqueued.id).end().await
}

/// Like [`enqueue_and_wait`], on one connection, which is polled every second. It must not be inside a
/// transaction.
///
/// # Errors
/// Like [`enqueue_and_wait`]. [`ClientError::InTransaction`] where the server says that a transaction is
/// open on this connection, also one that plain SQL began: then nothing was enqueued. The loss of the
/// connection ends the wait.
pub async fn enqueue_and_wait_on(
    connection: &mut PgConnection,
    request: &BackupRequest,
) -> Result<Option<JobStatus>, ClientError> {
    refuse_a_transaction(connection).await?;
    let enqueued = enqueue(&mut *connection, request).await?;
    loop {
        match status(&mut *connection, enqueued.id).await? {
            Some(status) if !status.state.has_ended() => {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            ended_or_gone => return Ok(ended_or_gone),
        }
    }
}

/// Asks the server, because only it knows of a BEGIN that was sent as plain SQL: two statements outside of
/// a transaction block run in two transactions.
async fn refuse_a_transaction(connection: &mut PgConnection) -> Result<(), ClientError> {
    if connection.is_in_transaction() {
        return Err(ClientError::InTransaction);
    }
    let first = transaction(connection).await?;
    let second = transaction(connection).await?;
    if first == second {
        return Err(ClientError::InTransaction);
    }
    Ok(())
}

async fn transaction(connection: &mut PgConnection) -> Result<String, ClientError> {
    sqlx::query_scalar(sql::TRANSACTION)
        .fetch_one(connection)
        .await
        .map_err(|error| match error.as_database_error() {
            // in_failed_sql_transaction: inside one, and it is broken.
            Some(server) if server.code().as_deref() == Some("25P02") => ClientError::InTransaction,
            _ => error.into(),
        })
}

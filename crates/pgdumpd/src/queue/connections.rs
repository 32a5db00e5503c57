//! A way into the queue's database that no dead network and no cancelled future can block.

use std::time::Duration;

use futures_util::future::BoxFuture;
use pgdumpd_client::ClientError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::Session;
use super::error::{ApplicationError, QueueError};

/// What the server's own timeout gets before ours ends the connection.
const GRACE: Duration = Duration::from_secs(2);

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A question on one connection.
pub(super) type Question<'c, T> = BoxFuture<'c, Result<T, ClientError>>;

/// Runs single statements, each within a limit.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: PgPool,
    pooled: bool,
    limit: Duration,
    /// How new connections are opened: its password may change.
    session: Session,
}

impl Connections {
    /// `pooled`: behind a transaction pooler.
    pub(super) fn new(pool: PgPool, session: Session, pooled: bool, limit: Duration) -> Self {
        Self {
            pool,
            pooled,
            limit: limit + GRACE,
            session,
        }
    }

    /// Runs one statement and returns its rows.
    ///
    /// After an error other than the server's refusal, and after a cancel, it may have happened.
    pub(super) async fn fetch_all(
        &self,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, QueueError> {
        self.within(self.limit, statement).await
    }

    /// Runs one statement and returns its first row.
    pub(super) async fn fetch_optional(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<PgRow>, QueueError> {
        Ok(self.fetch_all(statement).await?.into_iter().next())
    }

    /// Runs one statement and returns its first row, waiting no longer than `limit`.
    pub(super) async fn fetch_optional_within(
        &self,
        limit: Duration,
        statement: Statement<'_>,
    ) -> Result<Option<PgRow>, QueueError> {
        let rows = self.within(limit.min(self.limit), statement).await?;
        Ok(rows.into_iter().next())
    }

    async fn within(
        &self,
        limit: Duration,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, QueueError> {
        match timeout(limit, self.run(statement)).await {
            Ok(result) => result,
            Err(_) => Err(QueueError::Timeout(limit)),
        }
    }

    /// A connection of the pool, or a new one as the session is opened now: those that are idle may turn out to be
    /// lost, and the password to have changed since.
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if self.pool.num_idle() == 0 {
            self.renew_options().await;
        }
        match self.pool.acquire().await {
            Err(error) if is_wrong_password(&error) => {
                self.renew_options().await;
                self.pool.acquire().await
            }
            acquired => acquired,
        }
    }

    async fn renew_options(&self) {
        self.pool.set_connect_options(self.session.options().await);
    }

    /// Asks one question as an application does, within the limit.
    pub(super) async fn ask<T>(
        &self,
        question: impl for<'c> FnOnce(&'c mut PgConnection) -> Question<'c, T>,
    ) -> Result<T, ApplicationError> {
        match timeout(self.limit, self.run_question(question)).await {
            Ok(Err(ClientError::Database(error))) if is_statement_timeout(&error) => {
                Err(ApplicationError::Timeout(self.limit))
            }
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ApplicationError::Timeout(self.limit)),
        }
    }

    async fn run_question<T>(
        &self,
        question: impl for<'c> FnOnce(&'c mut PgConnection) -> Question<'c, T>,
    ) -> Result<T, ClientError> {
        let mut held = Held(Some(self.acquire().await?));
        let Some(connection) = held.0.as_deref_mut() else {
            return Err(sqlx::Error::PoolClosed.into());
        };
        if self.pooled {
            // A refusal leaves the transaction open: the connection is then closed, not returned.
            let mut transaction = connection.begin_with(BEGIN).await?;
            let answer = question(&mut transaction).await?;
            transaction.commit().await?;
            held.give_back();
            return Ok(answer);
        }
        let answer = question(connection).await;
        if answer.as_ref().err().is_none_or(has_answered) {
            held.give_back();
        }
        answer
    }

    async fn run(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, QueueError> {
        let mut held = Held(Some(self.acquire().await?));
        let Some(connection) = held.0.as_deref_mut() else {
            return Err(QueueError::Database(sqlx::Error::PoolClosed));
        };
        let rows = if self.pooled {
            in_a_transaction(connection, statement).await?
        } else {
            match statement.fetch_all(connection).await {
                Err(error @ sqlx::Error::Database(_)) => {
                    held.give_back();
                    return Err(error.into());
                }
                other => other?,
            }
        };
        held.give_back();
        Ok(rows)
    }
}

/// Whether the server has answered, so that the connection is as good as before.
fn has_answered(error: &ClientError) -> bool {
    match error {
        ClientError::Database(error) => matches!(error, sqlx::Error::Database(_)),
        _ => true,
    }
}

/// query_canceled: by the session's `statement_timeout`, or by a person.
fn is_statement_timeout(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("57014"))
}

/// invalid_password
fn is_wrong_password(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("28P01"))
}

/// How the transaction begins that a statement behind a pooler runs in.
const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL search_path = pg_catalog, pg_temp";

/// sqlx prepares and executes in two round trips; a transaction keeps a pooler from sending the second to
/// another server. A failure leaves it open: the connection is then closed, not returned.
async fn in_a_transaction(
    connection: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let rows = statement
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(rows)
}

/// A connection that is closed unless it is given back: whoever drops a future in the middle of a statement
/// leaves a connection that nobody else should wait for.
struct Held(Option<PoolConnection<Postgres>>);

impl Held {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

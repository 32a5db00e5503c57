//! The watcher's connections: made when needed, one kept between uses.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::QueryAs;
use sqlx::{ConnectOptions, FromRow, PgConnection, Postgres};

use crate::database_url::DatabaseUrl;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;

use super::fault;

/// By what name the watcher is known on the server. No dump's name begins like it.
const APPLICATION_NAME: &str = "pgdumpd-watcher";

/// How long a statement may take: above the server's own limit for it, for a server that no longer answers.
const STATEMENT_LIMIT: Duration = Duration::from_secs(65);

/// What a setting of the role or the database must not change before the first statement. Older servers know them too,
/// and are refused later with a better reason.
const SETTINGS: [(&str, &str); 2] = [("statement_timeout", "60s"), ("lock_timeout", "2s")];

/// Makes connections to one database.
///
/// A connection is taken out while it is used and put back when that succeeded, so that a use that fails or is
/// dropped midway takes its connection with it.
#[derive(Debug)]
pub(super) struct Connections {
    target: String,
    address: String,
    connect_timeout: Duration,
    url: DatabaseUrl,
    as_login_role: bool,
    idle: Mutex<Option<PgConnection>>,
}

/// The server processes that served one connection, another one beside it, and the first again.
#[derive(Debug)]
pub(super) struct Pids {
    before: i32,
    other: i32,
    after: i32,
}

impl Pids {
    /// Whether a pooler shares them among its clients.
    pub(super) fn are_shared(&self) -> bool {
        self.before == self.other || self.before != self.after
    }
}

impl Connections {
    pub(super) fn new(target: &str, url: &DatabaseUrl) -> Self {
        Self {
            target: target.to_owned(),
            address: url.to_string(),
            connect_timeout: url.connect_timeout(),
            url: url.clone(),
            as_login_role: false,
            idle: Mutex::default(),
        }
    }

    /// The same, but of the role that logs in, whatever role that becomes by itself.
    pub(super) fn kept_as_login_role(self) -> Self {
        Self {
            as_login_role: true,
            ..self
        }
    }

    /// A connection of its own, ready for use.
    pub(super) async fn open(&self) -> Result<PgConnection, Fault> {
        let options = self.options().await?;
        let open = async {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(include_str!("sql/prepare_session.sql"))
                .execute(&mut connection)
                .await?;
            if self.as_login_role {
                sqlx::raw_sql("SET ROLE NONE")
                    .execute(&mut connection)
                    .await?;
            }
            Ok(connection)
        };
        match tokio::time::timeout(self.connect_timeout, open).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(fault::connecting(&self.target, &self.url, error)),
            Err(_) => Err(fault::no_answer(
                &self.target,
                &self.address,
                self.connect_timeout,
            )),
        }
    }

    /// How to connect now: files are read again each time, so that a password that was changed with its file counts.
    async fn options(&self) -> Result<PgConnectOptions, Fault> {
        let url = self.url.clone();
        let read = off_runtime("prepares a connection", move || {
            url.check_tls_files()?;
            Ok::<_, String>(url.connect_options(APPLICATION_NAME))
        });
        let options = read.await?;
        let options = options.map_err(|what| fault::tls_file(&self.target, &self.url, what))?;
        Ok(options.options(SETTINGS))
    }

    /// Runs a statement without parameters that gives one row. `what` is what it asks for, for the error.
    pub(super) async fn one<T>(&self, what: &str, sql: &'static str) -> Result<T, Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut lent = self.lend().await?;
        let row = sqlx::query_as(sql).fetch_one(&mut lent);
        let row = self.within_limit(what, row).await?;
        self.put_back(lent);
        Ok(row)
    }

    /// Runs a statement without parameters that gives any number of rows.
    pub(super) async fn all<T>(&self, what: &str, sql: &'static str) -> Result<Vec<T>, Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut lent = self.lend().await?;
        let rows = sqlx::query_as(sql).fetch_all(&mut lent);
        let rows = self.within_limit(what, rows).await?;
        self.put_back(lent);
        Ok(rows)
    }

    /// Runs a statement that gives any number of rows, and shows each to `take` as it comes.
    pub(super) async fn each<T>(
        &self,
        what: &str,
        query: QueryAs<'_, Postgres, T, PgArguments>,
        mut take: impl FnMut(T) + Send,
    ) -> Result<(), Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut lent = self.lend().await?;
        let rows = async {
            let mut rows = query.fetch(&mut lent);
            while let Some(row) = rows.try_next().await? {
                take(row);
            }
            Ok(())
        };
        self.within_limit(what, rows).await?;
        self.put_back(lent);
        Ok(())
    }

    /// Runs a statement on the sessions with these application names, that gives at most one row.
    pub(super) async fn about_sessions<T>(
        &self,
        what: &str,
        sql: &'static str,
        application_names: &[String],
    ) -> Result<Option<T>, Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut lent = self.lend().await?;
        let row = sqlx::query_as(sql)
            .bind(application_names)
            .fetch_optional(&mut lent);
        let row = self.within_limit(what, row).await?;
        self.put_back(lent);
        Ok(row)
    }

    /// The server processes of two connections that exist at the same time.
    pub(super) async fn backend_pids(&self) -> Result<Pids, Fault> {
        let mut kept = self.lend().await?;
        let before = self.backend_pid(&mut kept).await?;
        let other = match self.open().await {
            Ok(mut other) => self.backend_pid(&mut other).await,
            Err(fault) => Err(fault),
        };
        let after = self.backend_pid(&mut kept).await?;
        self.put_back(kept);
        Ok(Pids {
            before,
            other: other?,
            after,
        })
    }

    async fn backend_pid(&self, connection: &mut PgConnection) -> Result<i32, Fault> {
        let sql = include_str!("sql/backend_pid.sql");
        let asked = sqlx::query_scalar(sql).fetch_one(connection);
        self.within_limit("its own session's number", asked).await
    }

    async fn lend(&self) -> Result<PgConnection, Fault> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match idle {
            Some(connection) => Ok(connection),
            None => self.open().await,
        }
    }

    fn put_back(&self, connection: PgConnection) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    /// Runs a statement on a connection that somebody has, for as long as a statement may take.
    pub(super) async fn within_limit<T>(
        &self,
        what: &str,
        query: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(STATEMENT_LIMIT, query).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(fault::asking(&self.target, what, error)),
            Err(_) => Err(fault::no_answer(
                &self.target,
                &self.address,
                STATEMENT_LIMIT,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pooler_gives_two_connections_one_process_or_one_connection_two() {
        let are_shared = |before, other, after| {
            let pids = Pids {
                before,
                other,
                after,
            };
            pids.are_shared()
        };
        assert!(!are_shared(1, 2, 1));
        assert!(are_shared(1, 1, 1));
        assert!(are_shared(1, 2, 2));
        assert!(are_shared(1, 2, 3));
    }
}

//! A connection that loads rows into a database.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgCopyIn};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::fault;
use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;
use crate::text::on_one_line;

/// By what name such a connection is known on the server.
const APPLICATION_NAME: &str = "pgdumpd restore";

/// What stands for the target's name in errors.
pub(super) const WHO: &str = "of the restore";

/// A connection of a restore.
#[derive(Debug)]
pub struct Loader {
    connection: PgConnection,
}

/// How loading one table ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// All rows are there.
    Whole {
        /// How many the COPY loaded.
        rows: u64,
        /// How many the statement after it changed.
        after: u64,
        /// What the last statement counted.
        missing: u64,
    },
    /// What was to be loaded is not whole: nothing of it is there.
    Damaged(String),
    /// The server refused it: nothing of it is there.
    Refused(String),
}

/// Takes rows while they are loaded.
pub struct Rows<'a, 'c> {
    copy: &'a mut PgCopyIn<&'c mut PgConnection>,
}

impl Rows<'_, '_> {
    /// Sends a piece, which may end within a row.
    ///
    /// # Errors
    /// `target_unreachable`.
    pub async fn send(&mut self, piece: Bytes) -> Result<(), Fault> {
        let sent = self.copy.send(piece.as_ref()).await;
        sent.map(drop)
            .map_err(|error| fault::asking(WHO, "the rows that it sends", error))
    }
}

impl Loader {
    /// Connects, and prepares the session as pg_restore does.
    ///
    /// # Errors
    /// As those of [`Target::connect`](super::Target::connect), and `restore_refused` of the role.
    pub async fn connect(url: &DatabaseUrl, role: Option<&str>) -> Result<Self, Fault> {
        let mut connection = connect(url).await?;
        let prepared = sqlx::raw_sql(include_str!("sql/prepare_load.sql"))
            .execute(&mut connection)
            .await;
        prepared.map_err(|error| fault::asking(WHO, "its settings", error))?;
        become_role(&mut connection, role).await?;
        Ok(Self { connection })
    }

    /// Runs a statement of the archive's, such as that of its encoding.
    ///
    /// # Errors
    /// `restore_refused`, and `target_unreachable`.
    pub async fn run(&mut self, what: &str, sql: String) -> Result<(), Fault> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection);
        match run.await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(refusal)) => {
                let what = format!("the server refused {what}");
                Err(Fault::permanent(Code::RestoreRefused, what)
                    .caused_by(sqlx::Error::Database(refusal)))
            }
            Err(error) => Err(fault::asking(WHO, what, error)),
        }
    }

    /// Loads one table in a transaction: `before` it, a COPY whose rows `feed` sends, `after` it. It is committed only
    /// if `feed` says that they were whole, and if the server counts as many rows as are `expected`.
    ///
    /// # Errors
    /// `feed`'s, and `target_unreachable`. What the server refuses is not an error, but a result.
    pub async fn load(
        &mut self,
        table: &Table<'_>,
        feed: impl AsyncFnOnce(Rows<'_, '_>) -> Result<Result<(), String>, Fault>,
    ) -> Result<Loaded, Fault> {
        let mut transaction = match self.connection.begin().await {
            Ok(transaction) => transaction,
            Err(error) => return refused(error),
        };
        if !table.before.is_empty() {
            let before = sqlx::raw_sql(AssertSqlSafe(table.before.to_owned()));
            if let Err(error) = before.execute(&mut *transaction).await {
                return refused(error);
            }
        }
        if let Some(role) = table.role {
            let set = format!("SET LOCAL ROLE {}", quoted(role));
            let set = sqlx::raw_sql(AssertSqlSafe(set));
            if let Err(error) = set.execute(&mut *transaction).await {
                return refused(error);
            }
        }
        let mut copy = match transaction.copy_in_raw(table.copy).await {
            Ok(copy) => copy,
            Err(error) => return refused(error),
        };
        let fed = feed(Rows { copy: &mut copy }).await;
        match fed {
            Ok(Ok(())) => {}
            Ok(Err(damage)) => {
                end(copy, &damage).await?;
                return Ok(Loaded::Damaged(damage));
            }
            Err(fault) => {
                end(copy, "the restore could not go on").await?;
                return Err(fault);
            }
        }
        let rows = match copy.finish().await {
            Ok(rows) => rows,
            Err(error) => return refused(error),
        };
        if table.expected.is_some_and(|expected| expected != rows) {
            let expected = table.expected.unwrap_or_default();
            let what = format!("the server took {rows} rows, and the backup has {expected}");
            return Ok(Loaded::Refused(what));
        }
        if table.role.is_some() {
            let reset = sqlx::raw_sql("SET LOCAL ROLE NONE");
            if let Err(error) = reset.execute(&mut *transaction).await {
                return refused(error);
            }
        }
        let mut changed = 0;
        if !table.after.is_empty() {
            // By the protocol that takes one statement: a condition may come from somebody else.
            let after = sqlx::query(AssertSqlSafe(table.after.to_owned()));
            match after.execute(&mut *transaction).await {
                Ok(done) => changed = done.rows_affected(),
                Err(error) => return refused(error),
            }
        }
        let mut missing = 0;
        if !table.missing.is_empty() {
            let counted = sqlx::query_scalar(AssertSqlSafe(table.missing.to_owned()));
            let counted: sqlx::Result<i64> = counted.fetch_one(&mut *transaction).await;
            match counted {
                Ok(count) => missing = count.unsigned_abs(),
                Err(error) => return refused(error),
            }
        }
        match transaction.commit().await {
            Ok(()) => Ok(Loaded::Whole {
                rows,
                after: changed,
                missing,
            }),
            Err(error) => refused(error),
        }
    }
}

impl Loader {
    /// Reads what a COPY gives, piece by piece.
    ///
    /// # Errors
    /// `target_query_failed`, `target_unreachable`.
    pub async fn read(&mut self, copy: &str, mut take: impl FnMut(&[u8])) -> Result<(), Fault> {
        let failed = |error| fault::asking(WHO, "rows that it has restored", error);
        let mut rows = self.connection.copy_out_raw(copy).await.map_err(failed)?;
        while let Some(piece) = rows.try_next().await.map_err(failed)? {
            take(&piece);
        }
        Ok(())
    }
}

/// What one load runs.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// Statements before the COPY.
    pub before: &'a str,
    /// The role that loads, where it is not the session's: what the table's own checks call runs as that one.
    pub role: Option<&'a str>,
    /// The COPY.
    pub copy: &'a str,
    /// A statement after it.
    pub after: &'a str,
    /// A statement that counts what is missing then.
    pub missing: &'a str,
    /// How many rows there must be.
    pub expected: Option<u64>,
}

/// Ends a COPY whose rows are not to stay.
async fn end(copy: PgCopyIn<&mut PgConnection>, why: &str) -> Result<(), Fault> {
    let why = why.replace('\0', " ");
    let ended = copy.abort(why).await;
    ended.map_err(|error| fault::asking(WHO, "the end of a table", error))
}

/// A refusal of the server's, or why the connection is of no use.
fn refused(error: sqlx::Error) -> Result<Loaded, Fault> {
    match &error {
        sqlx::Error::Database(refusal) if !fault::is_lost(&refusal.code().unwrap_or_default()) => {
            let mut text = refusal.message().to_owned();
            if let Some(refusal) = refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                for more in [refusal.detail(), refusal.r#where()].into_iter().flatten() {
                    text.push_str("; ");
                    text.push_str(more);
                }
            }
            Ok(Loaded::Refused(on_one_line(&text).into_owned()))
        }
        _ => Err(fault::asking(WHO, "the answer to rows", error)),
    }
}

/// Connects, reading files and password again.
pub(super) async fn connect(url: &DatabaseUrl) -> Result<PgConnection, Fault> {
    let limit = url.connect_timeout();
    let options = options(url).await?;
    match tokio::time::timeout(limit, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(fault::connecting(WHO, url, error)),
        Err(_) => Err(fault::no_answer(WHO, &url.to_string(), limit)),
    }
}

async fn options(url: &DatabaseUrl) -> Result<PgConnectOptions, Fault> {
    let read = url.clone();
    let read = off_runtime("prepares a connection", move || {
        read.check_tls_files()?;
        Ok::<_, String>(read.connect_options(APPLICATION_NAME))
    });
    let options = read.await?;
    let options = options.map_err(|what| fault::tls_file(WHO, url, what))?;
    // Nothing that the role or the database sets may end a load, or keep a session from beginning.
    Ok(options.options([
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
        ("default_transaction_read_only", "off"),
    ]))
}

pub(super) async fn become_role(
    connection: &mut PgConnection,
    role: Option<&str>,
) -> Result<(), Fault> {
    let Some(role) = role else {
        return Ok(());
    };
    let set = format!("SET ROLE {}", quoted(role));
    let set = sqlx::raw_sql(AssertSqlSafe(set)).execute(connection).await;
    set.map(drop).map_err(|error| {
        let what = format!("the session cannot become the role {role}");
        Fault::permanent(Code::RestoreRefused, what).caused_by(error)
    })
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

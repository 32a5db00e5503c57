//! Migrations: numbered, forward-only, each in a transaction of its own, with their history inside the
//! schema `pgdumpd`, so that the queue can live beside an application's own migrations.
//!
//! sqlx's own migrator takes a session lock, which means nothing behind a transaction pooler, and keeps its
//! history in a table of its own choosing; hence these few lines.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool, Row as _};
use tokio::time::sleep;

mod error;
mod grants;
mod history;
mod ownership;
mod print;

pub use error::MigrateError;
pub use grants::Grants;
pub use history::{MIGRATIONS, Migration, VERSION};
pub use print::print;

use ownership::Schema;

/// How long one statement may wait for a lock before everything is let go and tried again: whatever queues
/// behind a waiting ALTER TABLE waits no longer than this.
const LOCK_TIMEOUT: &str = "2s";

/// Of the transaction, not of the session: what others created in `public` must neither run nor be bound forever.
const SAFE_PATH: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// How often, and with which pauses, that is tried again.
const TRIES: u32 = 15;
const PAUSE: Duration = Duration::from_millis(500);

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The versions applied now; empty where the queue was up to date.
    pub versions: Vec<i64>,
    /// The version the queue has now.
    pub version: i64,
}

/// Brings the queue's schema to this build's version and grants what is asked. Doing it again changes nothing;
/// doing it twice at once is safe.
///
/// # Errors
/// See [`MigrateError`]. What was applied before the error stays applied: each migration is whole or absent.
pub async fn migrate(pool: &PgPool, grants: &Grants) -> Result<Applied, MigrateError> {
    // A connection of its own, closed at the end: a future dropped in mid-transaction leaves nothing behind.
    let mut connection = pool.acquire().await?.detach();
    let row = sqlx::raw_sql("SELECT pg_catalog.current_setting('server_encoding') AS encoding")
        .fetch_one(&mut connection)
        .await?;
    let found: String = row.try_get("encoding")?;
    if found != "UTF8" {
        return Err(MigrateError::Encoding { found });
    }
    ownership::expect_ours(&mut connection).await?;
    let mut versions = Vec::new();
    let mut applied = history::applied(&mut connection).await?;
    history::check(&applied)?;
    for migration in MIGRATIONS {
        if applied.iter().any(|row| row.version == migration.version) {
            continue;
        }
        if patiently(&mut connection, Step::Migrate(migration)).await? {
            versions.push(migration.version);
        }
        applied = history::applied(&mut connection).await?;
        history::check(&applied)?;
    }
    if !grants.is_empty() {
        patiently(&mut connection, Step::Grant(grants)).await?;
    }
    connection.close().await?;
    Ok(Applied {
        versions,
        version: VERSION.max(applied.iter().map(|row| row.version).max().unwrap_or(0)),
    })
}

/// One transaction's work.
#[derive(Clone, Copy)]
enum Step<'a> {
    Migrate(&'a Migration),
    Grant(&'a Grants),
}

/// Does the step, again where a lock was not to be had. Says whether it did anything.
async fn patiently(connection: &mut PgConnection, step: Step<'_>) -> Result<bool, MigrateError> {
    let mut tries = 1;
    loop {
        match once(connection, step).await {
            Err(error) if error.is_lock_timeout() && tries < TRIES => {
                tracing::info!(tries, "a migration waits for a lock");
                tries += 1;
                sleep(PAUSE.mul_f64(rand::random_range(0.5..1.5))).await;
            }
            Err(MigrateError::Waited(_)) => {
                let holder = history::holder(connection).await?;
                return Err(MigrateError::AnotherMigrates { holder });
            }
            Err(error) if error.is_lock_timeout() => return Err(MigrateError::Locked { tries }),
            other => return other,
        }
    }
}

async fn once(connection: &mut PgConnection, step: Step<'_>) -> Result<bool, MigrateError> {
    let mut transaction = connection.begin().await?;
    let settings = format!(
        "{SAFE_PATH}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = 0"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings))
        .execute(&mut *transaction)
        .await?;
    // Of the transaction, not of the session: a transaction pooler keeps no sessions.
    let lock = sqlx::raw_sql(history::LOCK).execute(&mut *transaction);
    lock.await.map_err(MigrateError::in_lock)?;
    // Again, now that no other migration can run.
    let schema = ownership::expect_ours(&mut transaction).await?;
    match step {
        Step::Migrate(migration) => {
            if schema == Schema::Missing {
                // Not IF NOT EXISTS, which asks for the right to create schemas even where this one exists.
                sqlx::raw_sql("CREATE SCHEMA pgdumpd")
                    .execute(&mut *transaction)
                    .await?;
            }
            if schema != Schema::Queue {
                sqlx::raw_sql(history::CREATE)
                    .execute(&mut *transaction)
                    .await?;
            }
            // Somebody may have been faster, before the lock was ours.
            let applied = history::applied(&mut transaction).await?;
            if applied.iter().any(|row| row.version == migration.version) {
                return Ok(false);
            }
            let run = sqlx::raw_sql(migration.sql)
                .execute(&mut *transaction)
                .await;
            run.map_err(|source| MigrateError::in_migration(migration, source))?;
            let insert = sqlx::AssertSqlSafe(migration.history_insert());
            sqlx::raw_sql(insert).execute(&mut *transaction).await?;
        }
        Step::Grant(grants) => {
            for call in grants.calls() {
                let sql = sqlx::AssertSqlSafe(call.sql);
                let run = sqlx::raw_sql(sql).execute(&mut *transaction).await;
                run.map_err(|source| MigrateError::in_grant(&call.role, source))?;
            }
        }
    }
    transaction.commit().await?;
    Ok(true)
}

//! How the command line reaches the queue: most commands ask it one thing.

use std::time::Duration;

use anyhow::Context;
use pgdumpd_client::ClientError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

use super::exit::Advised;
use crate::config::{Config, QueueConfig};
use crate::migrate;
use crate::queue::{self, Queue, QueueError, SAFE_SESSION};

/// A person waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one statement of a command may take, by the server's watch: a person has given up by then.
const STATEMENT_TIMEOUT: &str = "30s";

/// How often the server checks whether a command that waits for it is still connected: one that was interrupted, or
/// killed, leaves no query running. PostgreSQL knows this on Linux alone, hence not as a start-up parameter, which would
/// be refused elsewhere.
const CHECK_CONNECTION: &str =
    "SELECT pg_catalog.set_config('client_connection_check_interval', '1s', false)";

/// What a statement behind a pooler runs in.
const BEGIN: &str = "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp";

/// One connection with the queue's own credentials, for the commands that an application's role may use, too.
pub(super) struct Session {
    connection: PgConnection,
    pooled: bool,
}

impl Session {
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let pooled = config.queue.pooled;
        let opened =
            queue::connect_once(&config.queue.url, &options(&config.queue), CONNECT_TIMEOUT).await;
        let mut connection = opened.with_context(|| unreachable(&config.queue))?;
        if !pooled {
            watch_connection(&mut connection).await;
        }
        Ok(Self { connection, pooled })
    }

    /// Runs what asks the queue one thing.
    pub(super) async fn ask<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, ClientError>,
    ) -> anyhow::Result<T> {
        match self.run(work).await {
            Err(ClientError::NotMigrated(error)) => Err(self.not_migrated(error).await),
            asked => Ok(asked?),
        }
    }

    async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        if !self.pooled {
            return work(&mut self.connection).await;
        }
        // sqlx prepares and executes in two round trips, between which a pooler gives the session to others, who
        // prepare theirs.
        let mut transaction = self.connection.begin_with(BEGIN).await?;
        let asked = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(asked)
    }

    /// Which version the queue has, in place of which column is missing.
    async fn not_migrated(&mut self, error: sqlx::Error) -> anyhow::Error {
        let version = queue::schema_version(&mut self.connection).await;
        let queue = match version {
            // A newer one only adds: this is another schema of the name, which migrate refuses, too.
            Ok(Some(version)) if version < migrate::VERSION => {
                format!("the queue is at version {version}")
            }
            Ok(_) => return ClientError::NotMigrated(error).into(),
            Err(_) => "the queue is of an older version".to_owned(),
        };
        Advised::new(
            format!("{queue}, and this pgdumpd needs version {}", migrate::VERSION),
            "Run `pgdumpd migrate` against this database, or use a pgdumpd of its daemons' version.",
        )
        .into()
    }
}

fn options(queue: &QueueConfig) -> PgConnectOptions {
    let options = queue.url.connect_options("pgdumpd");
    if queue.pooled {
        return options.statement_cache_capacity(0).extra_float_digits(None);
    }
    options
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            // Lists show few rows, which are in a cache: with the default, meant for rotating disks, the planner
            // reads and sorts all rows of a large target instead of using the index.
            ("random_page_cost", "1.1"),
        ])
        .options(SAFE_SESSION)
}

fn unreachable(queue: &QueueConfig) -> String {
    format!("cannot connect to the queue at {}", queue.url)
}

async fn watch_connection(connection: &mut PgConnection) {
    if let Err(error) = connection.execute(CHECK_CONNECTION).await {
        tracing::debug!(%error, "the server does not watch its connections");
    }
}

/// Connections for what goes on until a person ends it, and connects again where one is lost. Fails at once where the
/// queue cannot be reached.
pub(super) async fn pool(config: &QueueConfig) -> anyhow::Result<PgPool> {
    let pooled = config.pooled;
    let reached = queue::connect_once(&config.url, &options(config), CONNECT_TIMEOUT).await;
    let _ = reached.with_context(|| unreachable(config))?.close().await;
    Ok(PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if !pooled {
                    watch_connection(connection).await;
                }
                Ok(())
            })
        })
        .connect_lazy_with(options(config)))
}

/// The queue as a daemon sees it. Never migrates it: only `run` and `migrate` do.
pub(super) async fn queue(config: &QueueConfig) -> Result<Queue, QueueError> {
    // Its pools would try a refused connection again and again: this says at once why. One after the other, because the
    // server may have one connection left.
    Queue::reach(config).await?;
    let as_it_is = QueueConfig {
        migrate_at_start: false,
        ..config.clone()
    };
    Queue::connect(&as_it_is).await
}

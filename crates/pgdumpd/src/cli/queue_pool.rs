//! Connections to the queue for the command line.

use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, PgPool, Postgres, Transaction};

use crate::config::{Config, QueueConfig};
use crate::queue::{Queue, QueueError, SAFE_SESSION, reach};

/// A person waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one statement of a command may take, by the server's watch: a person has given up by then.
const STATEMENT_TIMEOUT: &str = "30s";

/// How often the server checks whether a command that waits for it is still connected. PostgreSQL knows this on Linux
/// alone, hence not as a start-up parameter, which would be refused elsewhere.
const CHECK_CONNECTION: &str =
    "SELECT pg_catalog.set_config('client_connection_check_interval', '1s', false)";

/// Connects with the queue's own credentials, for the commands that an application's role may use, too.
pub(super) async fn connect(config: &Config) -> anyhow::Result<PgPool> {
    let mut options = config.queue.url.connect_options("pgdumpd");
    let pooled = config.queue.pooled;
    options = if pooled {
        options.statement_cache_capacity(0).extra_float_digits(None)
    } else {
        options
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT),
                // Lists show few rows, which are in a cache: with the default, meant for rotating disks, the planner
                // reads and sorts all rows of a large target instead of using the index.
                ("random_page_cost", "1.1"),
            ])
            .options(SAFE_SESSION)
    };
    reach(&config.queue.url, &options, CONNECT_TIMEOUT)
        .await
        .with_context(|| format!("cannot connect to the queue at {}", config.queue.url))?;
    Ok(PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(CONNECT_TIMEOUT)
        // A command that was interrupted, or killed, leaves no query running in the server.
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if !pooled && let Err(error) = connection.execute(CHECK_CONNECTION).await {
                    tracing::debug!(%error, "the server does not watch its connections");
                }
                Ok(())
            })
        })
        .connect_lazy_with(options))
}

/// Begins a transaction for one statement, and what it reads and writes. sqlx prepares and executes in two round trips,
/// between which a pooler gives the session to others, who prepare theirs.
pub(super) async fn begin(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    pool.begin_with("BEGIN; SET LOCAL search_path = pg_catalog, pg_temp")
        .await
}

/// The queue as a daemon sees it. Never migrates it: only `run` and `migrate` do.
pub(super) async fn queue(config: &QueueConfig) -> Result<Queue, QueueError> {
    Queue::reach(config).await?;
    let as_it_is = QueueConfig {
        migrate_at_start: false,
        ..config.clone()
    };
    Queue::connect(&as_it_is).await
}

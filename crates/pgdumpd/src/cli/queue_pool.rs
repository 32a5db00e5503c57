//! A connection to the queue for the commands that an application's role may use, too.

use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::config::Config;

/// Connects with the queue's own credentials: two connections, for `watch` listens on one.
pub(super) async fn connect(config: &Config) -> anyhow::Result<PgPool> {
    let mut options = config.queue.url.connect_options("pgdumpd");
    if config.queue.pooled {
        options = options.statement_cache_capacity(0);
    }
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(15))
        .connect_with(options)
        .await
        .with_context(|| format!("cannot connect to the queue at {}", config.queue.url))
}

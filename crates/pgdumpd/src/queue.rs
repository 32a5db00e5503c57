//! The queue in PostgreSQL: the only place that writes job rows.
//!
//! Every change of a row is one statement in autocommit (`queue/sql/`), so there is no transaction that a
//! cancelled future could leave open. Every write to a running job carries its [`Lease`]; what happens when
//! the lease is lost is a result, not an error. `docs/STATES.md` draws the states and who moves a job
//! between them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::config::QueueConfig;
use crate::database_url::DatabaseUrl;
use crate::migrate::{self, MigrateError};

mod alerts;
mod applications;
mod audit;
mod claim;
mod connections;
mod copies;
mod databases;
mod deletions;
mod differences;
mod error;
mod finish;
mod heartbeat;
mod identity;
mod kept;
mod lease;
mod leftovers;
mod listener;
mod metrics;
mod notifications;
mod overview;
mod quotas;
mod reap;
mod rebuild;
mod recorded;
mod schedules;
mod sizes;
mod storages;
mod text;
mod unserved;
mod upload;
mod workers;

pub use alerts::{Damaged, NotedFinding};
pub use applications::Applications;
pub use audit::{Audit, AuditedAttempt, AuditedCopy, CopyState, Traces};
pub use claim::ServedStorage;
pub use copies::{CopyRow, OpenCopy};
pub use databases::DumpedDatabase;
pub use deletions::{Deletable, Place, Unfinished};
pub use differences::Difference;
pub use error::{ApplicationError, QueueError, advice};
pub use finish::{Failure, Finished, Outcome, Success};
pub use heartbeat::{Beat, Progress};
pub use identity::Adopted;
pub use kept::KeptBackup;
pub use lease::{ClaimedJob, CopyOrder, EarlierAttempt, Lease, Work};
pub use leftovers::Leftover;
pub use listener::{Wake, Wakes};
pub use metrics::{JobMetrics, QueueMetrics, StorageMetrics, TargetMetrics};
pub use notifications::{Notification, Receiver, ReceiverTrouble, Unsent};
pub use overview::{
    Attempt, DaemonStatus, OpenCounts, RecentBackup, StorageOfBackup, TargetOverview,
};
pub use quotas::KeptQuota;
pub use rebuild::KnownBackup;
pub use recorded::Recorded;
pub use schedules::{KeptSchedule, Settled};
pub use sizes::StoredSize;
pub use storages::RememberedStorage;
pub(crate) use text::fitted_warnings;
pub use workers::{LiveWorker, Worker};

use claim::UnansweredClaim;
use connections::Connections;

/// How the daemon's sessions are called in `pg_stat_activity`.
const APPLICATION_NAME: &str = "pgdumpd";

const SCHEMA_VERSION: &str = include_str!("queue/sql/schema_version.sql");

/// Connections for everything but heartbeats: claims, ends and upkeep are short and seldom overlap.
const CONNECTIONS: u32 = 4;

/// Of every direct session on the queue: nothing that others created in `public` is called, and what database or role
/// say by default does not matter.
pub(crate) const SAFE_SESSION: [(&str, &str); 4] = [
    ("search_path", "pg_catalog,pg_temp"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("idle_session_timeout", "0"),
];

/// How long any one statement may take, by the server's watch; ours waits a little longer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for a heartbeat, which must be tried again well before its lease ends.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// The queue of one database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Everything but heartbeats.
    connections: Connections,
    /// One connection of its own, so that no slow statement stands before a heartbeat.
    heartbeats: Connections,
    /// Where to LISTEN; none means that polling has to do.
    listen: Option<Session>,
    id: Uuid,
    address: String,
    /// Claims whose answer was lost: given back before the next claim.
    unanswered_claims: Mutex<Vec<UnansweredClaim>>,
}

impl Queue {
    /// Connects once and leaves again: whether the queue's database can be reached, and else why not.
    ///
    /// # Errors
    /// The database's; [`QueueError::Timeout`].
    pub async fn reach(config: &QueueConfig) -> Result<(), QueueError> {
        let limit = config.url.connect_timeout();
        let kind = if config.pooled {
            SessionKind::Pooled
        } else {
            SessionKind::Direct(STATEMENT_TIMEOUT)
        };
        let options = Session::new(&config.url, kind).options().await;
        let connection = connect_once(&config.url, &options, limit).await?;
        Ok(connection.close().await?)
    }

    /// Connects, and refuses a queue that is not migrated or has another id than configured.
    /// Migrates it first where the configuration says so.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn connect(config: &QueueConfig) -> Result<Self, QueueError> {
        let url = &config.url;
        let open = |options: PgPoolOptions, limit| {
            let kind = if config.pooled {
                SessionKind::Pooled
            } else {
                SessionKind::Direct(limit)
            };
            let session = Session::new(url, kind);
            let options = options.acquire_timeout(limit);
            let pool = options.connect_lazy_with(session.build());
            let connections = Connections::new(pool.clone(), session, config.pooled, limit);
            (pool, connections)
        };
        let main = PgPoolOptions::new().max_connections(CONNECTIONS);
        let (main, main_connections) = open(main, STATEMENT_TIMEOUT);
        let (_, heartbeats) = open(one_for_good(), HEARTBEAT_TIMEOUT);
        if config.migrate_at_start {
            match migrate::migrate(&main, &migrate::Grants::default()).await {
                // A daemon goes on beside newer ones: they only add to the schema.
                Err(MigrateError::Newer { found, known }) => tracing::info!(
                    "the queue is at version {found}, newer than this pgdumpd's {known}: it is used as it is"
                ),
                migrated => migrated.map(drop)?,
            }
        }
        let listening = |url| Some(Session::new(url, SessionKind::Listening));
        let listen = match &config.listen_url {
            _ if !config.listen => None,
            Some(direct) => listening(direct),
            None if config.pooled => None,
            None => listening(url),
        };
        let queue = Self::open(
            main_connections,
            heartbeats,
            listen,
            format!("{}:{}/{}", url.host(), url.port(), url.database()),
        )
        .await?;
        match config.queue_id {
            Some(wanted) if wanted != queue.id() => Err(QueueError::WrongQueue {
                found: queue.id(),
                wanted,
            }),
            _ => Ok(queue),
        }
    }

    async fn open(
        connections: Connections,
        heartbeats: Connections,
        listen: Option<Session>,
        address: String,
    ) -> Result<Self, QueueError> {
        const ENCODING: &str = include_str!("queue/sql/server_encoding.sql");
        let not_migrated = || QueueError::NotMigrated {
            address: address.clone(),
            wanted: migrate::VERSION,
        };
        let version: i64 = match connections
            .fetch_optional(sqlx::query(SCHEMA_VERSION))
            .await
        {
            Ok(Some(row)) => row.try_get("version")?,
            Ok(None) => 0,
            Err(error) if error.is_missing_schema() => return Err(not_migrated()),
            Err(error) => return Err(error),
        };
        if version < migrate::VERSION {
            return Err(not_migrated());
        }
        if let Some(row) = connections.fetch_optional(sqlx::query(ENCODING)).await? {
            let found: String = row.try_get("encoding")?;
            if found != "UTF8" {
                return Err(QueueError::Encoding { found });
            }
        }
        let id = identity::read(&connections).await?.id;
        let inner = Inner {
            connections,
            heartbeats,
            listen,
            id,
            address,
            unanswered_claims: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The queue's id, as it was when this connected.
    pub fn id(&self) -> Uuid {
        self.inner.id
    }

    /// Host, port and database as configured: for logs.
    pub fn address(&self) -> &str {
        &self.inner.address
    }
}

/// The version of the queue's schema, by the statement of a connection that is not a queue's: `None` without a schema.
///
/// # Errors
/// The database's, such as that this role may not read it.
pub(crate) async fn schema_version(connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    const PRESENT: &str = "SELECT pg_catalog.to_regnamespace('pgdumpd') IS NOT NULL AS present";
    let row = sqlx::raw_sql(PRESENT).fetch_one(&mut *connection).await?;
    if !row.try_get("present")? {
        return Ok(None);
    }
    let row = sqlx::raw_sql(SCHEMA_VERSION).fetch_one(connection).await?;
    row.try_get("version")
}

/// Connects once without a pool, which would try a refused connection again and again and then say only that it ran out
/// of time. `options` are the address's.
pub(crate) async fn connect_once(
    url: &DatabaseUrl,
    options: &PgConnectOptions,
    limit: Duration,
) -> Result<PgConnection, QueueError> {
    let files = url.clone();
    let checked = tokio::task::spawn_blocking(move || files.check_tls_files()).await;
    if let Ok(Err(what)) = checked {
        return Err(QueueError::tls(url, what.into()));
    }
    match tokio::time::timeout(limit, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(QueueError::connecting(url, error)),
        Err(_) => Err(QueueError::Timeout(limit)),
    }
}

/// One connection that stays: a dump of hours must not depend on it that the server still lets in then.
fn one_for_good() -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
}

/// How a session of the daemon is opened. A transaction pooler takes neither start-up parameters nor
/// statements that outlive a transaction.
#[derive(Debug, Clone)]
struct Session {
    url: DatabaseUrl,
    kind: SessionKind,
}

#[derive(Debug, Clone, Copy)]
enum SessionKind {
    Pooled,
    /// Its statements may take so long.
    Direct(Duration),
    /// For what applications ask: its statements may take so long.
    Applications(Duration),
    /// For LISTEN.
    Listening,
}

impl Session {
    fn new(url: &DatabaseUrl, kind: SessionKind) -> Self {
        Self {
            url: url.clone(),
            kind,
        }
    }

    /// The options for a connection that is opened now: a file with the password is read, beside the runtime.
    async fn options(&self) -> PgConnectOptions {
        let session = self.clone();
        match tokio::task::spawn_blocking(move || session.build()).await {
            Ok(options) => options,
            Err(_) => self.build(),
        }
    }

    fn build(&self) -> PgConnectOptions {
        let options = self.url.connect_options(APPLICATION_NAME);
        match self.kind {
            SessionKind::Pooled => options.statement_cache_capacity(0).extra_float_digits(None),
            SessionKind::Applications(limit) => options
                .options([
                    ("statement_timeout", limit.as_millis().to_string()),
                    // Lists show few rows, which are in a cache: with the default, meant for rotating disks, the
                    // planner reads and sorts all rows of a large target instead of using the index.
                    ("random_page_cost", "1.1".to_owned()),
                    // Each reads few rows: compiling the views' expressions takes longer than that.
                    ("jit", "off".to_owned()),
                ])
                .options(SAFE_SESSION),
            SessionKind::Direct(limit) => options
                .options([
                    ("statement_timeout", limit.as_millis().to_string()),
                    ("lock_timeout", limit.as_millis().to_string()),
                    ("idle_in_transaction_session_timeout", "60000".to_owned()),
                ])
                .options(SAFE_SESSION),
            SessionKind::Listening => options.options(SAFE_SESSION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_of_heartbeats_is_never_closed_for_its_age() {
        let options = one_for_good();
        assert_eq!(options.get_max_lifetime(), None);
        assert_eq!(options.get_idle_timeout(), None);
    }
}

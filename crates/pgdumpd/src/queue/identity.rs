//! Which queue this is: a copy of a database is another queue, and gets its own id by `pgdumpd adopt`.

use sqlx::Row as _;
use uuid::Uuid;

use super::connections::Connections;
use super::{Queue, QueueError};

const IDENTITY: &str = include_str!("sql/identity.sql");
const RESET: &str = include_str!("sql/reset_identity.sql");
const END_ATTEMPTS: &str = include_str!("sql/end_adopted_attempts.sql");

/// What the server says of the queue.
pub(super) struct Identity {
    pub(super) id: Uuid,
    address: String,
}

/// What [`Queue::reset_identity`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The queue's new id.
    pub id: Uuid,
    /// Queued jobs that were cancelled.
    pub cancelled: u64,
    /// Running jobs that were ended as failed, with the code `queue_adopted`.
    pub failed: u64,
}

impl Queue {
    /// Where the queue lives as its server sees it, such as `10.0.0.5:5432/app` or `socket:5432/app`: behind
    /// a proxy or a name that moved, this is not what was configured.
    ///
    /// # Errors
    /// The database's.
    pub async fn server_address(&self) -> Result<String, QueueError> {
        Ok(read(&self.inner.connections).await?.address)
    }

    /// Stamps a cloned queue with a new id, cancels what was queued, fails what was running (the original's
    /// daemons run it), and forgets the original's daemons. `None` if the id is no longer the one that this
    /// connected to. This value keeps the old id: connect again.
    ///
    /// # Errors
    /// The database's; whether it happened is then unknown: connect again and read the id.
    pub async fn reset_identity(&self) -> Result<Option<Adopted>, QueueError> {
        let statement = sqlx::query(RESET).bind(self.id()).bind(Uuid::new_v4());
        let Some(row) = self.inner.connections.fetch_optional(statement).await? else {
            return Ok(None);
        };
        self.inner
            .connections
            .fetch_all(sqlx::query(END_ATTEMPTS))
            .await?;
        Ok(Some(Adopted {
            id: row.try_get("id")?,
            cancelled: row.try_get::<i64, _>("cancelled")?.unsigned_abs(),
            failed: row.try_get::<i64, _>("failed")?.unsigned_abs(),
        }))
    }
}

pub(super) async fn read(connections: &Connections) -> Result<Identity, QueueError> {
    let row = connections.fetch_optional(sqlx::query(IDENTITY)).await?;
    let row = row.ok_or(QueueError::NoIdentity)?;
    let database: String = row.try_get("database")?;
    let address = match row.try_get::<Option<String>, _>("host")? {
        Some(host) if host.contains(':') => {
            format!("[{host}]:{}/{database}", row.try_get::<i32, _>("port")?)
        }
        Some(host) => format!("{host}:{}/{database}", row.try_get::<i32, _>("port")?),
        None => format!(
            "socket:{}/{database}",
            row.try_get::<String, _>("socket_port")?
        ),
    };
    Ok(Identity {
        id: row.try_get("id")?,
        address,
    })
}

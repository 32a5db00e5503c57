//! The state of a dump's session on the server.

use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row as _};

use crate::fault::Fault;

use super::Target;
use super::name::optional_name;

/// The current state of a dump's session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionState {
    /// Whether it exists.
    pub present: bool,
    /// The lock that it waits for.
    pub waiting_for_lock: Option<LockWait>,
    /// How far the COPY is that it runs, in bytes of COPY's text, not of the table's files.
    pub copy_bytes: Option<i64>,
}

/// A lock that a session waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockWait {
    /// `schema.relation`, or the kind of lock if it is not on a relation.
    pub relation: Option<String>,
    /// When the server saw it begin, in microseconds since 1970 by the server's clock; distinguishes one wait from the
    /// next. Not known in its first moments.
    pub since_epoch_us: Option<i64>,
    /// Who holds it, or stands before us in the queue for it; at most 5.
    pub blockers: Vec<Blocker>,
}

/// A session that holds a lock which another wants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Blocker {
    /// Its process id on the server; 0 is a prepared transaction.
    pub pid: i32,
    /// Its role, where it may be known.
    pub user: Option<String>,
    /// Such as `idle in transaction`, where it may be known.
    pub state: Option<String>,
    /// Its current or last statement, at most 500 characters, where it may be known.
    pub query: Option<String>,
}

struct Row {
    waits: bool,
    relation: Option<String>,
    since_epoch_us: Option<i64>,
    blockers: Json<Vec<Blocker>>,
    copy_bytes: Option<i64>,
}

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            waits: row.try_get("waits")?,
            relation: optional_name(row, "relation")?,
            since_epoch_us: row.try_get("since_epoch_us")?,
            blockers: row.try_get("blockers")?,
            copy_bytes: row.try_get("copy_bytes")?,
        })
    }
}

impl Target {
    /// Reads the state of the session with this application name. One statement; cheap enough for once a second.
    ///
    /// # Errors
    /// Mostly `target_unreachable`: the watcher's own connection failed, which says nothing of the dump.
    pub async fn look(&self, application_name: &str) -> Result<SessionState, Fault> {
        let row: Option<Row> = self
            .session_connections()
            .about_sessions(
                "the dump's session",
                include_str!("sql/look.sql"),
                &[application_name.to_owned()],
            )
            .await?;
        Ok(row.map_or_else(SessionState::default, SessionState::from))
    }
}

impl From<Row> for SessionState {
    fn from(row: Row) -> Self {
        Self {
            present: true,
            waiting_for_lock: row.waits.then_some(LockWait {
                relation: row.relation,
                since_epoch_us: row.since_epoch_us,
                blockers: row.blockers.0,
            }),
            copy_bytes: row.copy_bytes,
        }
    }
}

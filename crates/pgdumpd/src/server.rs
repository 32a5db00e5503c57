//! A database to back up: its connection, version and sizes, the sessions that dumps have on it, and what
//! would keep it from being dumped.
//!
//! Everything here runs with the dump's own credentials: what this role cannot do, pg_dump cannot do either.

mod cause;
mod check;
mod connection;
mod contents;
mod databases;
mod fault;
pub mod guard;
mod loading;
mod matching;
mod name;
mod pooler;
mod relations;
mod restored;
mod sample;
mod session_state;
mod sessions;
mod size;

pub use contents::{Contents, NamedRelation, Relation};
pub use loading::{Loaded, Loader, Rows, Table};
pub use matching::Matches;
pub use relations::{NamedTable, TableFile};
pub use restored::{Finished, MergedInto, Refused, Restored, note_of_table};
pub use sample::{Sample, Sampler};
pub use session_state::{Blocker, LockWait, SessionState};
pub use size::{Sizes, TableSize};

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;

use connection::Connections;

/// The oldest server that is dumped: its views show how far a COPY is, and since when a lock is waited for.
pub const OLDEST_MAJOR: u32 = 14;

/// By what name the session of the attempt with this lease token is known on the server.
pub fn application_name(token: Uuid) -> String {
    format!("pgdumpd {token}")
}

/// A database that answered.
#[derive(Debug)]
pub struct Target {
    name: String,
    url: DatabaseUrl,
    connections: Connections,
    /// For what is asked of the dump's sessions, where the role that dumps may not see those of the role that logs in.
    sessions: Option<Connections>,
    /// Whether the role that logs in becomes another one.
    becomes_another: bool,
    major: u32,
    version: String,
    encoding: String,
    system_identifier: Option<u64>,
    /// How often recovery had ended somebody's statement when we connected; `None` on a primary server.
    recovery_conflicts: Option<i64>,
    /// When the server started, in seconds since 1970.
    started: f64,
}

/// What a database says of itself.
struct Version {
    number: i32,
    version: String,
    encoding: String,
    becomes_another: bool,
    owns_its_sessions: bool,
    recovery_conflicts: Option<i64>,
    started: f64,
}

impl FromRow<'_, PgRow> for Version {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("number")?,
            version: row.try_get("version")?,
            encoding: row.try_get("encoding")?,
            becomes_another: row.try_get("becomes_another")?,
            owns_its_sessions: row.try_get("owns_its_sessions")?,
            recovery_conflicts: row.try_get("recovery_conflicts")?,
            started: row.try_get("started")?,
        })
    }
}

impl Target {
    /// Connects to the database of the target called `name`, and asks for its version.
    ///
    /// # Errors
    /// Transient: `target_unreachable`, `target_starting`, `too_many_connections`. Permanent:
    /// `authentication_failed`, `database_missing`, `permission_denied`, `tls_failed`, `server_too_old`.
    pub async fn connect(name: &str, url: &DatabaseUrl) -> Result<Self, Fault> {
        let connections = Connections::new(name, url);
        let Version {
            number,
            version,
            encoding,
            becomes_another,
            owns_its_sessions,
            recovery_conflicts,
            started,
        } = connections
            .one("its version", include_str!("server/sql/version.sql"))
            .await?;
        let major = number.cast_unsigned() / 10_000;
        if major < OLDEST_MAJOR {
            return Err(Fault::permanent(
                Code::ServerTooOld,
                format!("target {name} is a PostgreSQL {version}"),
            )
            .hint(format!(
                "Servers from version {OLDEST_MAJOR} on can be backed up."
            )));
        }
        // An administrator may have taken this function away: then nobody knows.
        let identifier: Option<(i64,)> = connections
            .one(
                "its system identifier",
                include_str!("server/sql/system_identifier.sql"),
            )
            .await
            .ok();
        Ok(Self {
            name: name.to_owned(),
            url: url.clone(),
            connections,
            sessions: (!owns_its_sessions)
                .then(|| Connections::new(name, url).kept_as_login_role()),
            becomes_another,
            major,
            version,
            encoding,
            system_identifier: identifier.map(|(identifier,)| identifier.cast_unsigned()),
            recovery_conflicts,
            started,
        })
    }

    /// Connections that see and end the sessions of its dumps.
    fn session_connections(&self) -> &Connections {
        self.sessions.as_ref().unwrap_or(&self.connections)
    }

    /// The target's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// The server's major version.
    pub fn server_major(&self) -> u32 {
        self.major
    }

    /// The server's version as it reports it, such as `15.19 (Debian 15.19-1)`.
    pub fn server_version(&self) -> &str {
        &self.version
    }

    /// The database's encoding, as the server names it: `UTF8`, `LATIN1`, `SQL_ASCII`.
    pub fn encoding(&self) -> &str {
        &self.encoding
    }

    /// The cluster's own number, where the role may read it. Copies below PostgreSQL share it.
    pub fn system_identifier(&self) -> Option<u64> {
        self.system_identifier
    }
}

//! What can go wrong with the queue itself.

use std::time::Duration;

use pgdumpd_client::ClientError;
use uuid::Uuid;

use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;
use crate::finding::Finding;
use crate::migrate::MigrateError;

/// An error of the queue's database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The schema is missing or older than this build.
    #[error("the queue at {address} is not migrated to version {wanted}")]
    NotMigrated {
        /// Where.
        address: String,
        /// The version that this build needs.
        wanted: i64,
    },
    /// The configuration names another queue.
    #[error("the queue has the id {found}, the configuration names {wanted}")]
    WrongQueue {
        /// In the database.
        found: Uuid,
        /// In the configuration.
        wanted: Uuid,
    },
    /// The address leads to another queue than it did, or this one was adopted.
    #[error("the queue has the id {found} now, not {known} as before")]
    Replaced {
        /// In the database.
        found: Uuid,
        /// When this connected.
        known: Uuid,
    },
    /// Names from other databases could not be written.
    #[error("the queue's database has the encoding {found}, not UTF8")]
    Encoding {
        /// Of the database.
        found: String,
    },
    /// The row with the queue's id is missing.
    #[error("the table pgdumpd.queue is empty")]
    NoIdentity,
    /// The migration at the start failed.
    #[error("the queue could not be migrated")]
    Migrate(#[from] MigrateError),
    /// The database did not answer in time. What was asked may have happened.
    #[error("the queue's database did not answer within {0:?}")]
    Timeout(Duration),
    /// No TLS connection as the address asks for it.
    #[error("no TLS connection to the queue{files}")]
    Tls {
        /// The files of the address: ` with sslrootcert /…`, or nothing.
        files: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database did not answer, or refused.
    #[error("the queue's database failed")]
    Database(#[from] sqlx::Error),
}

/// Why a question of an application has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// The queue refused it, or failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The queue did not answer in time. What was asked may have happened.
    #[error("the queue's database did not answer within {0:?}")]
    Timeout(Duration),
}

const TLS: &str =
    "Check sslmode and the certificates in queue.url, and the server's name in its certificate.";
const UNREACHABLE: &str = "Check that the queue's server runs, and that queue.url (or DATABASE_URL) leads to it from this host.";

/// Advice on an error of the queue's database, where there is any: full sentences.
pub fn advice(error: &sqlx::Error) -> Option<&'static str> {
    match error {
        error if is_of_tls(error) => Some(TLS),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => Some(UNREACHABLE),
        sqlx::Error::Database(refusal) => match refusal.code().unwrap_or_default().as_ref() {
            "28P01" | "28000" => {
                Some("Check the user and the password of queue.url, and the server's pg_hba.conf.")
            }
            "3D000" => Some("Check the database's name in queue.url."),
            "42501" => Some(
                "Let the owner of the queue run `pgdumpd migrate` with --grant-daemon, --grant-producer, --grant-reader or --grant-operator for this role.",
            ),
            "53300" => Some("The queue's server is at its connection limit."),
            "08P01" | "42P05" | "26000" => Some(
                "If queue.url leads through a transaction pooler such as PgBouncer, set queue.pooled = true, and listen_url to the server itself.",
            ),
            "57P03" => Some("The queue's server is starting up, shutting down or recovering."),
            _ => None,
        },
        _ => None,
    }
}

/// What rustls says of a certificate or an alert, and what keeps it from beginning.
fn is_of_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

impl QueueError {
    /// An error while connecting to this address.
    pub(crate) fn connecting(url: &DatabaseUrl, error: sqlx::Error) -> Self {
        if is_of_tls(&error) {
            Self::tls(url, error.into())
        } else {
            error.into()
        }
    }

    /// A connection that fails for its TLS.
    pub(crate) fn tls(url: &DatabaseUrl, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        let files = url.tls_files();
        let files = if files.is_empty() {
            files
        } else {
            format!(" with {files}")
        };
        Self::Tls { files, source }
    }

    /// Advice to the operator, where there is any: full sentences.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotMigrated { .. } => Some(
                "Run `pgdumpd migrate` as the owner of the queue's schema, or give `pgdumpd migrate --print` to your DBA (with `--from VERSION` for a queue that exists).",
            ),
            Self::WrongQueue { .. } => Some(
                "If this database is a clone, run `pgdumpd adopt` and put the new id into the configuration; else correct queue.url or queue.queue_id.",
            ),
            Self::Replaced { .. } => Some(
                "The address leads to another database than before, or somebody ran `pgdumpd adopt` here. Start the daemon again if this queue is meant, else correct queue.url; queue.queue_id makes sure of it.",
            ),
            Self::Encoding { .. } => Some(
                "Give the queue a database made with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0: progress and errors hold names from any database.",
            ),
            Self::NoIdentity => Some(
                "Restore the row with the id that the keys of its backups begin with, or no daemon recognizes them: INSERT INTO \
                 pgdumpd.queue (id) SELECT split_part(object_key, '/', 1)::uuid FROM pgdumpd.backup_copies ORDER BY stored_at DESC LIMIT 1.",
            ),
            Self::Timeout(_) => Some(UNREACHABLE),
            Self::Tls { .. } => Some(TLS),
            Self::Database(error) => advice(error),
            Self::Migrate(_) => None,
        }
    }

    /// Whether waiting may help: the database was not reached, or could not answer at the time. A refusal
    /// (a wrong password, a missing right or database, a foreign schema) stays until a person changes something.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Timeout(_)
            | Self::Tls { .. }
            | Self::Migrate(MigrateError::Locked { .. } | MigrateError::AnotherMigrates { .. }) => {
                true
            }
            Self::Database(error)
            | Self::Migrate(
                MigrateError::Database(error)
                | MigrateError::Migration { source: error, .. }
                | MigrateError::Grant { source: error, .. },
            ) => passes(error),
            _ => false,
        }
    }

    /// The SQLSTATE, where the server gave one.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().map(|code| code.into_owned())
            }
            _ => None,
        }
    }

    /// Whether the server refused the statement before its commit, so that it certainly changed nothing.
    pub(super) fn is_refusal(&self) -> bool {
        self.sqlstate().is_some_and(|code| is_before_commit(&code))
    }

    /// Another claimer of the same target was faster. No other rule is broken by a race: a claim locks the row of its
    /// job.
    pub(super) fn is_lost_race(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => {
                error.is_unique_violation()
                    && error.constraint() == Some("backup_jobs_one_running_backup")
            }
            _ => false,
        }
    }

    /// The server refuses a value for what it is: data exceptions and violated constraints.
    pub(crate) fn refuses_a_value(&self) -> bool {
        self.sqlstate()
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }

    /// undefined_table or invalid_schema_name: nothing was ever migrated here.
    pub(super) fn is_missing_schema(&self) -> bool {
        matches!(self.sqlstate().as_deref(), Some("42P01" | "3F000"))
    }
}

/// Whether an error with this SQLSTATE only comes while a statement runs: of its values, its rights and names, its
/// transaction, its locks, or because it was cancelled. A server that shuts down (57P01), or a pooler that lost it
/// (08P01), may say so after the commit.
fn is_before_commit(code: &str) -> bool {
    ["22", "23", "25", "40", "42"].contains(&code.get(..2).unwrap_or_default())
        // statement_completion_unknown
        && code != "40003"
        || ["55P03", "57014"].contains(&code)
}

fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_none_or(|code| {
            // Connection trouble (a pooler's, too), rollbacks, no resources, the server starting or stopping,
            // a disk; locks and timeouts; a standby that is not promoted yet.
            ["08", "40", "53", "57", "58"].contains(&code.get(..2).unwrap_or_default())
                || ["25006", "55P03"].contains(&code.as_ref())
        }),
        _ => false,
    }
}

impl From<QueueError> for Fault {
    fn from(error: QueueError) -> Self {
        Fault::transient(Code::QueueFailed, "the queue cannot be queried").caused_by(error)
    }
}

impl From<&QueueError> for Finding {
    fn from(error: &QueueError) -> Self {
        let code = match error {
            QueueError::NotMigrated { .. } => "queue_not_migrated",
            QueueError::WrongQueue { .. } | QueueError::Replaced { .. } => "queue_wrong_id",
            _ => Code::QueueFailed.as_str(),
        };
        Self {
            hint: error.hint().map(str::to_owned),
            ..Self::error(code, crate::fault::chain(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_may_come_after_a_commit_is_no_refusal() {
        for code in [
            "22003", "23505", "25006", "40001", "42501", "55P03", "57014",
        ] {
            assert!(is_before_commit(code), "{code}");
        }
        for code in [
            "57P01", "57P02", "08P01", "08006", "53300", "58030", "XX000", "40003", "",
        ] {
            assert!(!is_before_commit(code), "{code}");
        }
    }

    #[test]
    fn an_unreachable_queue_may_come_back_and_a_foreign_one_does_not() {
        let lost = || sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into());
        assert!(QueueError::Database(lost()).may_pass());
        assert!(QueueError::Migrate(MigrateError::Database(lost())).may_pass());
        assert!(QueueError::Migrate(MigrateError::in_grant("r", lost())).may_pass());
        assert!(QueueError::Migrate(MigrateError::Locked { tries: 3 }).may_pass());
        assert!(QueueError::Timeout(Duration::from_secs(1)).may_pass());
        assert!(!QueueError::NoIdentity.may_pass());
        assert!(!QueueError::Migrate(MigrateError::Newer { found: 9, known: 4 }).may_pass());
        assert!(!QueueError::Database(sqlx::Error::RowNotFound).may_pass());
    }
}

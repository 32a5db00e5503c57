//! What can go wrong, by what the caller can do about it.

use uuid::Uuid;

/// An error of this crate: one variant for each decision that a caller can take.
///
/// [`ClientError::hint`] gives advice for people. Inside a transaction, an error that came from the
/// database has aborted the transaction, as always in PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A value of the request cannot be; the database was not asked.
    #[error("the backup request is invalid")]
    Invalid(#[from] InvalidRequest),

    /// The database has no queue, or one that is older than this crate.
    #[error("this database has no pgdumpd queue, or one of an older version")]
    NotMigrated(#[source] sqlx::Error),

    /// The database refused the request: a value is against one of its rules.
    #[error("the queue refused the request: {message}")]
    Refused {
        /// What the server said.
        message: String,
        /// What the server advised.
        hint: Option<String>,
    },

    /// The role has as many backups queued, or kept, as it may have.
    #[error("the queue refused the request: {message}")]
    Quota {
        /// What the server said.
        message: String,
        /// What the server advised.
        hint: Option<String>,
    },

    /// Another transaction cancels the same job, and has not ended: cancel again later.
    #[error("the queue refused the request: {message}")]
    Busy {
        /// What the server said.
        message: String,
        /// What the server advised.
        hint: Option<String>,
    },

    /// A job with this id exists already, of another target or another role.
    #[error("a backup job with the id {id} exists already")]
    IdTaken {
        /// The id of the request.
        id: Uuid,
    },

    /// The connection's role lacks a privilege.
    #[error("the queue denied access: {message}")]
    Denied {
        /// What the server said.
        message: String,
    },

    /// A wait was asked for inside a transaction: nobody can see the job before the commit, so the
    /// wait would never end. Nothing was enqueued.
    #[error(
        "cannot wait for a backup inside a transaction: its job is not visible before the commit"
    )]
    InTransaction,

    /// The database failed, or did not answer. What was asked may or may not have happened.
    #[error("the queue's database failed")]
    Database(#[source] sqlx::Error),
}

impl ClientError {
    /// Advice for people, in full sentences.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotMigrated(_) => Some("Run `pgdumpd migrate` against this database."),
            Self::Refused { hint, .. } | Self::Quota { hint, .. } | Self::Busy { hint, .. } => {
                hint.as_deref()
            }
            Self::IdTaken { .. } => Some("Leave the id out, or choose a new random one."),
            Self::Denied { .. } => Some(
                "Run `pgdumpd migrate --grant-producer ROLE` for a role that enqueues, or `--grant-reader ROLE` for one that only reads.",
            ),
            Self::InTransaction => Some(
                "Enqueue in the transaction, commit it, and then watch the job; or enqueue and wait before the transaction begins.",
            ),
            Self::Invalid(_) | Self::Database(_) => None,
        }
    }

    /// Whether the connection or the server was lost, so that asking again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
            // 08 connection, 53 out of resources, 57P operator's intervention (restart, failover),
            // 40 serialization and deadlock.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                ["08", "53", "57P", "40"]
                    .iter()
                    .any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for ClientError {
    fn from(error: sqlx::Error) -> Self {
        let Some(server) = error.as_database_error() else {
            return Self::Database(error);
        };
        let message = server.message().to_owned();
        let code = server.code().unwrap_or_default();
        match &*code {
            // Schema, function, table or column unknown.
            "3F000" | "42883" | "42P01" | "42703" => Self::NotMigrated(error),
            "42501" => Self::Denied { message },
            // The statement came into a transaction that had failed before.
            "25P02" => Self::Database(error),
            "53400" => Self::Quota {
                message,
                hint: server_hint(&error),
            },
            "55P03" => Self::Busy {
                message,
                hint: server_hint(&error),
            },
            // A rule of the table, a null, or a value that its type cannot hold.
            code if ["23514", "23502"].contains(&code) || code.starts_with("22") => Self::Refused {
                message,
                hint: server_hint(&error),
            },
            _ => Self::Database(error),
        }
    }
}

fn server_hint(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()?
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?
        .hint()
        .map(str::to_owned)
}

/// A value of a request that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidRequest {
    field: &'static str,
    problem: String,
}

impl InvalidRequest {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }

    /// The field, as the request's method or the spec's key is called.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }
}

//! Why a migration did not happen.

use super::Migration;

/// An error of [`migrate`](super::migrate()).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The schema was made by a newer pgdumpd.
    #[error("the queue's schema has version {found}, this pgdumpd knows versions up to {known}")]
    Newer {
        /// In the database.
        found: i64,
        /// In this build.
        known: i64,
    },
    /// A migration that was applied is not the one that this build has under its number.
    #[error("migration {version} ({name}) was applied with another text than this pgdumpd has")]
    Changed {
        /// Its number.
        version: i64,
        /// Its name in the database.
        name: String,
    },
    /// Names from other databases could not be written.
    #[error("the queue's database has the encoding {found}, not UTF8")]
    Encoding {
        /// Of the database.
        found: String,
    },
    /// The schema, or something in it, was made by another role, whose code would run with the rights of this one.
    #[error("the schema pgdumpd is not this role's own: {what}")]
    ForeignSchema {
        /// What is foreign.
        what: String,
    },
    /// Somebody held a lock all the time.
    #[error("the migration could not get a lock that it needs in {tries} tries")]
    Locked {
        /// How often it was tried.
        tries: u32,
    },
    /// The lock that only one migration at a time holds was not to be had within one try.
    #[error("another session holds the lock of pgdumpd's migrations")]
    Waited(#[source] sqlx::Error),
    /// Another session held that lock all the time.
    #[error("another session holds the lock of pgdumpd's migrations: {holder}")]
    AnotherMigrates {
        /// Its process in the server and its role.
        holder: String,
    },
    /// A migration's own statements failed.
    #[error("migration {version} ({name}) failed")]
    Migration {
        /// Its number.
        version: i64,
        /// Its name.
        name: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// A role could not be granted its rights; it does not exist, perhaps.
    #[error("role \"{role}\" could not be granted its rights")]
    Grant {
        /// The role.
        role: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The database did not answer, or refused.
    #[error("the queue's database failed")]
    Database(#[from] sqlx::Error),
}

impl MigrateError {
    /// Advice to the operator, where there is any: full sentences.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => Some(
                "Nothing was changed, and a daemon of this version may continue to use that schema. Migrate with the newer pgdumpd.".into(),
            ),
            Self::Changed { .. } => Some(
                "Migrations never change once they are released: compare with `pgdumpd migrate --print`, and use an official build.".into(),
            ),
            Self::Encoding { .. } => Some(
                "Give the queue a database made with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0: progress and errors hold names from any database.".into(),
            ),
            Self::ForeignSchema { .. } => Some(
                "Nothing was changed. Migrate as the role that made the queue. Where another role made the schema or what is in it, find out why: its owner could run code as whoever migrates.".into(),
            ),
            Self::Locked { .. } => Some(
                "Look for long transactions on the tables of schema pgdumpd in pg_stat_activity, then run `pgdumpd migrate` again.".into(),
            ),
            Self::AnotherMigrates { .. } => Some(
                "Where that is another pgdumpd, run `pgdumpd migrate` again when it has ended. Any role that may connect can take the lock: if it is not a pgdumpd, end it with pg_terminate_backend().".into(),
            ),
            Self::Grant { role, source } if sqlstate(source).as_deref() == Some("42704") => {
                Some(format!("Create the role first: CREATE ROLE \"{}\" LOGIN.", role.replace('"', "\"\"")))
            }
            Self::Migration { source, .. } | Self::Grant { source, .. } | Self::Database(source)
                if sqlstate(source).as_deref() == Some("42501") =>
            {
                Some("Run `pgdumpd migrate` as the owner of schema pgdumpd, or the first time as a role with the right to create schemas in this database.".into())
            }
            _ => None,
        }
    }

    pub(super) fn in_lock(source: sqlx::Error) -> Self {
        match sqlstate(&source).as_deref() {
            Some("55P03") => Self::Waited(source),
            _ => Self::Database(source),
        }
    }

    pub(super) fn in_migration(migration: &Migration, source: sqlx::Error) -> Self {
        Self::Migration {
            version: migration.version,
            name: migration.name,
            source,
        }
    }

    pub(crate) fn in_grant(role: &str, source: sqlx::Error) -> Self {
        Self::Grant {
            role: role.to_owned(),
            source,
        }
    }

    /// lock_not_available
    pub(super) fn is_lock_timeout(&self) -> bool {
        match self {
            Self::Migration { source, .. }
            | Self::Grant { source, .. }
            | Self::Waited(source)
            | Self::Database(source) => sqlstate(source).as_deref() == Some("55P03"),
            _ => false,
        }
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

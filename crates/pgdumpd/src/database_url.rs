//! The address of a database, parsed once into a closed type from which both sqlx's options and libpq's
//! keywords are rendered. An unknown parameter is an error: sqlx would log it with its value.

use std::fmt;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

/// A `postgres://user:password@host:port/database?key=value` address. `Debug` and `Display` leave the password out.
#[derive(Clone)]
pub struct DatabaseUrl {
    _todo: (),
}

/// A text that is no database address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseUrlError(String);

impl DatabaseUrl {
    /// Parses an address. Also takes libpq's percent-encoded socket directories and `?host=/dir`.
    ///
    /// # Errors
    /// Names what is wrong, never the password.
    pub fn parse(_text: &str) -> Result<Self, DatabaseUrlError> {
        todo!()
    }
    /// The same server and user, another database.
    #[must_use]
    pub fn with_database(&self, _database: &str) -> Self {
        todo!()
    }
    /// The same address with this password.
    #[must_use]
    pub fn with_password(self, _password: SecretString) -> Self {
        todo!()
    }
    /// The database's name (the user's name where the address has none, as libpq does).
    pub fn database(&self) -> &str {
        todo!()
    }
    /// The role that connects.
    pub fn user(&self) -> &str {
        todo!()
    }
    /// Host (or socket directory).
    pub fn host(&self) -> &str {
        todo!()
    }
    /// TCP port, or the port in the socket's name.
    pub fn port(&self) -> u16 {
        todo!()
    }
    /// Options for sqlx, with the password, without statement logging, with this application_name.
    pub fn connect_options(&self, _application_name: &str) -> PgConnectOptions {
        todo!()
    }
    /// The environment for libpq (PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE, ...), without the password.
    pub fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        todo!()
    }
    /// The line of a password file that fits every connection (`*:*:*:*:secret`, escaped); none without a password.
    pub fn password_file_line(&self) -> Option<SecretString> {
        todo!()
    }
    /// The password itself, for redaction; none without one.
    pub fn password(&self) -> Option<&SecretString> {
        todo!()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

//! The address of a database, parsed once into a closed type from which both sqlx's options and libpq's
//! environment are rendered, so that the daemon's own connection and `pg_dump` mean the same server.
//!
//! An unknown parameter is an error: sqlx would log it with its value, and libpq would refuse it later. Those that hosters
//! and other programs write into addresses are ignored, with a warning.
//! Nothing here shows a password: not `Debug`, not `Display`, not an error.

mod parse;
mod percent;
mod render;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// More than any password; less than a file named by mistake.
const SECRET_MAX: u64 = 16 * 1024;

/// How much of a file of certificates is looked at: the system's has some 200 kB.
const TLS_FILE_MAX: u64 = 4 << 20;

/// A `postgres://user:password@host:port/database?key=value` address. `Debug` and `Display` leave the password out.
#[derive(Clone)]
pub struct DatabaseUrl {
    host: String,
    port: u16,
    user: String,
    database: String,
    password: Option<SecretString>,
    /// Where the password came from, to be read again at each connect.
    password_file: Option<PathBuf>,
    tls: Tls,
    connect_timeout: Duration,
    ignored: Vec<&'static str>,
}

/// The `ssl…` parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tls {
    mode: TlsMode,
    root_cert: Option<PathBuf>,
    /// The client's certificate and its key: both or neither.
    client: Option<(PathBuf, PathBuf)>,
}

/// libpq's `sslmode` without `allow`, which sqlx does not implement (it never tries TLS).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum TlsMode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A text that is not a database address. Its text never contains a value from the address, only names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseUrlError(String);

impl DatabaseUrl {
    /// The query parameters that an address may carry.
    pub const PARAMETERS: &[&str] = &[
        "host",
        "port",
        "user",
        "password",
        "dbname",
        "connect_timeout",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
    ];

    /// Parses an address. Also takes libpq's percent-encoded socket directories and `?host=/dir`.
    ///
    /// What it leaves out is as libpq has it: port 5432, the user `$PGUSER` or that of the operating system,
    /// the database named after the user, the local socket directory if there is one, else `localhost`.
    ///
    /// # Errors
    /// Names what is wrong, never the password.
    pub fn parse(text: &str) -> Result<Self, DatabaseUrlError> {
        parse::parse(text)
    }

    /// The parameters that it carries and that are ignored, each with the reason.
    pub fn ignored(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.ignored
            .iter()
            .map(|name| (*name, parse::ignored_because(name)))
    }

    /// The same server and user, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// The same address with this password, which must be one line: a password file cannot hold another.
    #[must_use]
    pub fn with_password(self, password: SecretString) -> Self {
        Self {
            password: Some(password),
            ..self
        }
    }

    /// The same address, whose password is read from this file at each connect. Where the file cannot be read, or holds
    /// more than one line, the password that is known is used.
    #[must_use]
    pub fn with_password_file(self, path: PathBuf) -> Self {
        Self {
            password_file: Some(path),
            ..self
        }
    }

    /// The same address with the password of another, and its file.
    #[must_use]
    pub fn with_password_of(self, other: &Self) -> Self {
        Self {
            password: other.password.clone(),
            password_file: other.password_file.clone(),
            ..self
        }
    }

    /// The same address with the password that its file holds now. Blocks.
    #[must_use]
    pub fn refreshed(self) -> Self {
        Self {
            password: self.present_password(),
            ..self
        }
    }

    /// The file's password, or the one that is known.
    fn present_password(&self) -> Option<SecretString> {
        let read = self.password_file.as_deref().and_then(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            if !metadata.is_file() || metadata.len() > SECRET_MAX {
                return None;
            }
            let text = std::fs::read_to_string(path).ok()?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            (!line.is_empty() && !line.chars().any(char::is_control))
                .then(|| SecretString::from(line.to_owned()))
        });
        read.or_else(|| self.password.clone())
    }

    /// The database's name (the user's name where the address has none, as libpq does).
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role that connects.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Host (or socket directory, which begins with `/`).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port, or the port in the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How long to wait for a connection: `connect_timeout`, 10 seconds if not given.
    ///
    /// sqlx has no such option: whoever connects wraps the call in a timeout.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The files that TLS needs, each with its parameter's name; empty without any.
    pub fn tls_files(&self) -> String {
        let named = self.tls.files().into_iter();
        let named = named.map(|(name, path)| format!("{name} {}", path.display()));
        named.collect::<Vec<_>>().join(", ")
    }

    /// Opens each file that TLS needs, as libpq would, and looks for what it should hold. Blocks.
    ///
    /// # Errors
    /// Names the parameter, the file, and what is wrong with it.
    pub fn check_tls_files(&self) -> Result<(), String> {
        if self.is_socket() || self.tls.mode == TlsMode::Disable {
            return Ok(());
        }
        for (name, path) in self.tls.files() {
            let shown = path.display();
            let unreadable = |error| format!("{name}: {shown} cannot be read: {error}");
            let file = std::fs::File::open(path).map_err(unreadable)?;
            let metadata = file.metadata().map_err(unreadable)?;
            // libpq refuses a key that others may read, but for one of root's that its group may.
            let allowed = if metadata.uid() == 0 { 0o640 } else { 0o600 };
            let mode = metadata.mode() & 0o777;
            if name == "sslkey" && mode & !allowed != 0 {
                return Err(format!(
                    "{name}: {shown} may be read by others (mode {mode:o}), and pg_dump refuses such a key: chmod {allowed:o}"
                ));
            }
            let mut text = Vec::new();
            file.take(TLS_FILE_MAX)
                .read_to_end(&mut text)
                .map_err(unreadable)?;
            if let Some(missing) = missing_in(name, &String::from_utf8_lossy(&text)) {
                return Err(format!("{name}: {shown} {missing}"));
            }
        }
        Ok(())
    }

    /// The password itself, for redaction; none without one.
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// Whether it leads to a local socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl Tls {
    fn files(&self) -> Vec<(&'static str, &Path)> {
        let client = self.client.as_ref();
        let files = [
            ("sslrootcert", self.root_cert.as_ref()),
            ("sslcert", client.map(|(cert, _)| cert)),
            ("sslkey", client.map(|(_, key)| key)),
        ];
        let files = files.into_iter();
        files
            .filter_map(|(name, path)| Some((name, path?.as_path())))
            .collect()
    }
}

/// What a file of this parameter lacks: whoever reads it for a connection names no file.
fn missing_in(name: &str, text: &str) -> Option<&'static str> {
    if name != "sslkey" {
        return (!text.contains("CERTIFICATE-----")).then_some("holds no certificate (in PEM)");
    }
    if !text.contains("PRIVATE KEY-----") {
        return Some("holds no private key (in PEM)");
    }
    text.contains("ENCRYPTED")
        .then_some("is protected by a passphrase, which nobody can enter")
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        let secret = |url: &Self| {
            url.password
                .as_ref()
                .map(|password| password.expose_secret().to_owned())
        };
        self.host == other.host
            && self.port == other.port
            && self.user == other.user
            && self.database == other.database
            && self.tls == other.tls
            && self.connect_timeout == other.connect_timeout
            && secret(self) == secret(other)
    }
}

impl Eq for DatabaseUrl {}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        f.write_str(&percent::encode(&self.user))?;
        if self.host.contains(':') {
            write!(f, "@[{}]", self.host)?;
        } else {
            write!(f, "@{}", percent::encode(&self.host))?;
        }
        write!(f, ":{}/{}", self.port, percent::encode(&self.database))?;
        if !self.is_socket() && self.tls.mode != TlsMode::default() {
            write!(f, "?sslmode={}", self.tls.mode.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl TlsMode {
    const NAMES: &[(&str, Self)] = &[
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

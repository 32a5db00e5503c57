//! One address, two dialects: sqlx's options and libpq's environment.
//!
//! Where the two differ by default, both get the same setting: `sslmode=require` with an authority's certificate
//! verifies in both (sqlx would not), sockets carry no TLS in both (sqlx would insist on it), and libpq is
//! kept from the files of a home directory that sqlx does not read.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{DatabaseUrl, TlsMode};

/// A path that does not exist: stops libpq from reading `~/.postgresql` and `~/.pgpass`.
const NOWHERE: &str = "/nonexistent/pgdumpd";

impl DatabaseUrl {
    /// Options for sqlx, with the password as its file has it now, without statement logging, with this
    /// application_name.
    ///
    /// sqlx takes `PGOPTIONS`, `PGSSLROOTCERT`, `PGSSLCERT` and `PGSSLKEY` from the process's environment where
    /// the address has none, and offers no way to forget them: loading the configuration warns of them.
    pub fn connect_options(&self, application_name: &str) -> PgConnectOptions {
        let password = self.present_password();
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            // An empty password is none to the server; it only covers PGPASSWORD, which sqlx would take.
            .password(password.as_ref().map_or("", |p| p.expose_secret()))
            .database(&self.database)
            .application_name(application_name)
            .ssl_mode(self.sqlx_ssl_mode());
        if let Some(path) = &self.tls.root_cert {
            options = options.ssl_root_cert(path);
        }
        if let Some((cert, key)) = &self.tls.client {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        options.disable_statement_logging()
    }

    /// The environment for libpq (PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE, ...), without the password.
    ///
    /// `PGPASSFILE` is among them only if there is no password: it then names no file, so that libpq does not
    /// read `~/.pgpass`.
    pub fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        let path = |path: Option<&Path>| {
            path.unwrap_or(Path::new(NOWHERE))
                .to_string_lossy()
                .into_owned()
        };
        let client = self.tls.client.as_ref();
        let mode = if self.is_socket() {
            TlsMode::Disable
        } else {
            self.tls.mode
        };
        let mut environment = vec![
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGSSLMODE", mode.as_str().to_owned()),
            ("PGSSLROOTCERT", path(self.tls.root_cert.as_deref())),
            ("PGSSLCERT", path(client.map(|(cert, _)| cert.as_path()))),
            ("PGSSLKEY", path(client.map(|(_, key)| key.as_path()))),
            (
                "PGCONNECT_TIMEOUT",
                self.connect_timeout.as_secs().to_string(),
            ),
            // sqlx knows no GSSAPI, and trying it first costs libpq a connection.
            ("PGGSSENCMODE", "disable".to_owned()),
        ];
        if self.password.is_none() {
            environment.push(("PGPASSFILE", NOWHERE.to_owned()));
        }
        environment
    }

    /// The line of a password file that fits every connection (`*:*:*:*:secret`, escaped), without a line end;
    /// none without a password.
    pub fn password_file_line(&self) -> Option<SecretString> {
        let password = self.password.as_ref()?.expose_secret();
        let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
        Some(SecretString::from(format!("*:*:*:*:{escaped}")))
    }

    fn sqlx_ssl_mode(&self) -> PgSslMode {
        if self.is_socket() {
            return PgSslMode::Disable;
        }
        match self.tls.mode {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            // libpq verifies here (libpq-ssl.html, "for backwards compatibility"), sqlx only with VerifyCa.
            TlsMode::Require if self.tls.root_cert.is_some() => PgSslMode::VerifyCa,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        }
    }
}

//! From text to [`DatabaseUrl`].
//!
//! Splits as libpq does (`conninfo_uri_parse`), not as browsers do: `postgres://user@/database` is fine, and
//! `#` or `?` in a password need no escape. A password with a raw `/` or `@` falls apart into other parts,
//! so no error may show any part of the address but a parameter's name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::percent::decode;
use super::{DatabaseUrl, DatabaseUrlError, Tls, TlsMode};

/// As long as libpq's own documentation suggests for a patient client, and short enough for a check.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// `sun_path` of `sockaddr_un` on Linux, without its closing zero.
const SOCKET_PATH_MAX: usize = 107;

const ESCAPES: &str =
    "in user and password write / as %2F, @ as %40, : as %3A, ? as %3F and % as %25";

fn error(text: impl Into<String>) -> DatabaseUrlError {
    DatabaseUrlError(text.into())
}

pub(super) fn parse(text: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
        .ok_or_else(|| {
            error(
                "a database address begins with postgres:// (keyword=value strings are not accepted)",
            )
        })?;
    let (userinfo, rest) = match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => (&rest[..at], &rest[at + 1..]),
        _ => ("", rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') || path.contains(['/', '@']) {
        return Err(error(format!(
            "an unescaped \"@\" or \"/\" is where it has no meaning ({ESCAPES})"
        )));
    }

    let mut parts = Parts::default();
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    parts.set("user", user)?;
    parts.set("password", password)?;
    let (host, port) = split_authority(authority)?;
    parts.set("host", host)?;
    parts.set("port", port)?;
    parts.set("dbname", path)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| error("a parameter after the \"?\" has no \"=\""))?;
        match meaning(name)? {
            Meaning::Parameter(name) => parts.set(name, value)?,
            Meaning::Ignored(name) => parts.ignored.push(name),
        }
    }
    parts.into_url()
}

/// Splits `host:port` and `[v6]:port`.
fn split_authority(authority: &str) -> Result<(&str, &str), DatabaseUrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| error("the host has a \"[\" without its \"]\""))?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if port.is_empty() => Ok((host, "")),
            None => Err(error(
                "the \"]\" of the host is followed by neither \":\" nor \"/\"",
            )),
        };
    }
    Ok(authority.split_once(':').unwrap_or((authority, "")))
}

/// What a parameter is to pgdumpd.
enum Meaning {
    Parameter(&'static str),
    /// It is another program's, or changes nothing here.
    Ignored(&'static str),
}

/// The parameters that hosters and other programs write into addresses, each with the reason why it is ignored.
const IGNORED: &[(&str, &str)] = &[
    (
        "application_name",
        "pgdumpd sets it, to find its own sessions again",
    ),
    (
        "options",
        "it could change what a dump contains; use ALTER ROLE … SET for the backup role",
    ),
    ("schema", "a job's filters say which schemas are dumped"),
    (
        "pgbouncer",
        "a target needs a direct connection, and the queue has pooled = true for a pooler",
    ),
    ("supa", NOT_FOR_US),
    ("connection_limit", NOT_FOR_US),
    ("pool_timeout", NOT_FOR_US),
    ("socket_timeout", NOT_FOR_US),
    ("statement_cache_size", NOT_FOR_US),
    ("uselibpqcompat", NOT_FOR_US),
    (
        "channel_binding",
        "pgdumpd's own connections do not bind the channel",
    ),
    ("target_session_attrs", "an address names one server"),
    ("load_balance_hosts", "an address names one server"),
    ("fallback_application_name", "pgdumpd sets application_name"),
    ("gssencmode", "GSSAPI is not used"),
    ("krbsrvname", "GSSAPI is not used"),
    ("sslcompression", NO_CHOICE),
    ("sslnegotiation", NO_CHOICE),
    ("sslsni", NO_CHOICE),
    ("ssl_min_protocol_version", NO_CHOICE),
    ("ssl_max_protocol_version", NO_CHOICE),
    ("keepalives", NO_CHOICE),
    ("keepalives_idle", NO_CHOICE),
    ("keepalives_interval", NO_CHOICE),
    ("keepalives_count", NO_CHOICE),
    ("tcp_user_timeout", NO_CHOICE),
];
const NOT_FOR_US: &str = "it is for another program's connections";
const NO_CHOICE: &str = "pgdumpd offers no choice here";

/// Why a parameter is ignored.
pub(super) fn ignored_because(name: &str) -> &'static str {
    let found = IGNORED.iter().find(|(ignored, _)| *ignored == name);
    found.map_or(NO_CHOICE, |(_, reason)| reason)
}

fn meaning(name: &str) -> Result<Meaning, DatabaseUrlError> {
    if let Some(known) = DatabaseUrl::PARAMETERS.iter().find(|known| **known == name) {
        return Ok(Meaning::Parameter(known));
    }
    if let Some((ignored, _)) = IGNORED.iter().find(|(ignored, _)| *ignored == name) {
        return Ok(Meaning::Ignored(ignored));
    }
    let reason = match name {
        "hostaddr" => "the parameter hostaddr is not accepted: write the address as the host",
        "service" => "the parameter service is not accepted: write the address out",
        _ => "",
    };
    if !reason.is_empty() {
        return Err(error(reason));
    }
    // Whatever does not look like a name may be a piece of a password.
    let shown = if name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        format!("the parameter \"{name}\" is unknown")
    } else {
        "a parameter is unknown".to_owned()
    };
    let known = DatabaseUrl::PARAMETERS.join(", ");
    Err(error(format!("{shown}: allowed are {known}")))
}

/// The parts that were given, decoded, by the name of their parameter.
#[derive(Default)]
struct Parts {
    values: BTreeMap<&'static str, String>,
    ignored: Vec<&'static str>,
}

impl Parts {
    fn set(&mut self, name: &'static str, value: &str) -> Result<(), DatabaseUrlError> {
        if value.is_empty() {
            return Ok(());
        }
        match self.values.insert(name, decode(value, name)?) {
            None => Ok(()),
            Some(_) => Err(error(format!("the {name} is given twice"))),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.values.remove(name)
    }

    fn into_url(mut self) -> Result<DatabaseUrl, DatabaseUrlError> {
        let port = self.number("port", 1..=65_535)?.unwrap_or(5432);
        let host = match self.take("host") {
            Some(host) => checked_host(host, port)?,
            None => default_host(port),
        };
        let user = self.take("user").map_or_else(os_user, Ok)?;
        let database = self.take("dbname").unwrap_or_else(|| user.clone());
        let password = self.take("password").map(SecretString::from);
        let connect_timeout = self
            .number("connect_timeout", 0..=3600)?
            // As in libpq, 0 is no choice, and a second is too short.
            .filter(|seconds| *seconds > 0)
            .map_or(CONNECT_TIMEOUT, |seconds| {
                Duration::from_secs(u64::from(seconds.max(2)))
            });
        Ok(DatabaseUrl {
            host,
            port,
            user,
            database,
            password,
            password_file: None,
            tls: self.tls()?,
            connect_timeout,
            ignored: self.ignored,
        })
    }

    fn number(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<u16>,
    ) -> Result<Option<u16>, DatabaseUrlError> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(error(format!(
                "the {name} is not a number from {} to {} ({ESCAPES})",
                range.start(),
                range.end()
            ))),
        }
    }

    fn tls(&mut self) -> Result<Tls, DatabaseUrlError> {
        let authority = self.take("sslrootcert");
        let is_system = authority.as_deref() == Some(SYSTEM);
        let mode = match self.take("sslmode").as_deref() {
            None if is_system => TlsMode::VerifyFull,
            None => TlsMode::default(),
            // As node-postgres calls it.
            Some("no-verify") => TlsMode::Require,
            Some("allow") => {
                return Err(error(
                    "sslmode=allow is not accepted, because pgdumpd's own connections could not try TLS second: write prefer or require",
                ));
            }
            Some(text) => TlsMode::NAMES
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, mode)| *mode)
                .ok_or_else(|| {
                    error("the sslmode is not one of disable, prefer, require, verify-ca, verify-full")
                })?,
        };
        if is_system && mode != TlsMode::VerifyFull {
            return Err(error(
                "sslrootcert=system needs sslmode=verify-full: anybody can have a certificate of a public authority",
            ));
        }
        let root_cert = match authority {
            Some(_) if is_system => Some(system_authorities()?),
            authority => checked_file("sslrootcert", authority)?,
        };
        if root_cert.is_none() && matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
            return Err(error(format!(
                "sslmode={} needs sslrootcert, the path of the authority's certificate (the system's own are often in /etc/ssl/certs/ca-certificates.crt)",
                mode.as_str()
            )));
        }
        let client = match (self.file("sslcert")?, self.file("sslkey")?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(error("sslcert and sslkey must be given together")),
        };
        Ok(Tls {
            mode,
            root_cert,
            client,
        })
    }

    fn file(&mut self, name: &'static str) -> Result<Option<PathBuf>, DatabaseUrlError> {
        checked_file(name, self.take(name))
    }
}

/// libpq's word for the authorities that the system trusts.
const SYSTEM: &str = "system";

fn checked_file(name: &str, path: Option<String>) -> Result<Option<PathBuf>, DatabaseUrlError> {
    match path {
        Some(path) if !path.starts_with('/') => {
            Err(error(format!("the {name} is not an absolute path")))
        }
        path => Ok(path.map(PathBuf::from)),
    }
}

/// Where distributions keep the certificates of public authorities: Debian, Red Hat, SUSE, Alpine.
fn system_authorities() -> Result<PathBuf, DatabaseUrlError> {
    let places = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let found = places.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_owned).ok_or_else(|| {
        error("sslrootcert=system: this system has no certificates of public authorities; install ca-certificates")
    })
}

fn checked_host(host: String, port: u16) -> Result<String, DatabaseUrlError> {
    if host.starts_with('/') {
        let length = format!("{host}/.s.PGSQL.{port}").len();
        if length > SOCKET_PATH_MAX {
            return Err(error(format!(
                "the socket's path has {length} bytes, the system allows {SOCKET_PATH_MAX}"
            )));
        }
        return Ok(host);
    }
    if host.contains(',') {
        return Err(error(
            "several hosts are not accepted: a backup comes from one server; make each a target",
        ));
    }
    let fits = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
    if !host.chars().all(fits) {
        return Err(error(format!(
            "the host is neither a name, an IP address nor an absolute directory ({ESCAPES})"
        )));
    }
    Ok(host)
}

/// Debian's socket directory, then PostgreSQL's own, then TCP: the order in which packages build libpq.
fn default_host(port: u16) -> String {
    if Path::new("/var/run/postgresql").is_dir() {
        "/var/run/postgresql".to_owned()
    } else if Path::new(&format!("/tmp/.s.PGSQL.{port}")).exists() {
        "/tmp".to_owned()
    } else {
        "localhost".to_owned()
    }
}

/// `$PGUSER`, else the name of the process's user.
fn os_user() -> Result<String, DatabaseUrlError> {
    let given = std::env::var("PGUSER").ok().filter(|user| !user.is_empty());
    given.map_or_else(
        || {
            whoami::username().map_err(|_| {
                error("the address names no user, and the system knows none for this process: write postgres://USER@…")
            })
        },
        Ok,
    )
}

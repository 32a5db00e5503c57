//! `[http]` and `[http_tokens.NAME]`: who may ask over HTTP, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Reader, Section};
use super::secrets::{self, Secret};
use super::values;

/// `[http]` and the tokens. Nothing listens unless `listen` is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen; nowhere, if none.
    pub listen: Option<Listen>,
    /// The mode of a unix socket.
    pub socket_mode: u32,
    /// Certificate and key; without them HTTP is not encrypted.
    pub tls: Option<TlsFiles>,
    /// Whether something before the daemon encrypts.
    pub behind_proxy: bool,
    /// Origins of browsers' pages that may ask; none, if empty.
    pub origins: Vec<String>,
    /// What the listener may use.
    pub limits: HttpLimits,
    /// Who may ask, by name. If empty, whoever reaches the listener.
    pub tokens: BTreeMap<String, TokenConfig>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The files of a TLS certificate, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What the listener may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at the same time; further ones wait.
    pub connections: usize,
    /// Event streams at the same time.
    pub streams: usize,
    /// Requests per second of each token.
    pub requests_per_second: u32,
    /// How long a request's header may take, and a connection may be idle.
    pub header_timeout: Duration,
}

/// `[http_tokens.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// The token itself.
    pub token: Secret,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// The targets whose backups it may use; all of them, if none.
    pub targets: Option<Vec<String>>,
}

/// What a token's holder may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// See backups.
    Read,
    /// Ask for backups.
    Enqueue,
    /// Cancel backups.
    Cancel,
    /// See figures for monitoring, which `read` allows too.
    Metrics,
    /// All of these, and see which daemon runs a backup.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Enqueue,
        Self::Cancel,
        Self::Metrics,
        Self::Admin,
    ];

    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Enqueue => "enqueue",
            Self::Cancel => "cancel",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

/// A token must not be guessed: 32 characters of 4 bits each are the shortest that is accepted.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 32..=512;

pub(super) fn read(reader: &mut Reader<'_>) -> HttpConfig {
    let tokens = read_tokens(reader);
    let section = reader.section("http");
    let listen = read_listen(reader, &section);
    let socket_mode = read_socket_mode(reader, &section);
    let tls = read_tls(reader, &section);
    let behind_proxy = reader.boolean(&section, "behind_proxy");
    let origins = read_origins(reader, &section);
    let limits = HttpLimits {
        connections: reader.integer(&section, "max_connections"),
        streams: reader.integer(&section, "max_streams"),
        requests_per_second: reader.integer(&section, "requests_per_second"),
        header_timeout: reader.duration(&section, "header_timeout"),
    };
    let config = HttpConfig {
        listen,
        socket_mode,
        tls,
        behind_proxy,
        origins,
        limits,
        tokens,
    };
    if let Some(missing) = missing_protection(&config) {
        let origin = reader.find(&section, "listen").map(|found| found.origin);
        reader.problem(section.key("listen"), origin, missing);
    }
    config
}

/// What keeps a listener that strangers may reach from starting.
fn missing_protection(config: &HttpConfig) -> Option<&'static str> {
    let has_tokens = !config.tokens.is_empty();
    match config.listen.as_ref()? {
        Listen::Unix(_) if config.socket_mode & 0o002 != 0 && !has_tokens => Some(
            "is a socket that every user of this host may connect to, so it needs tokens: write a section [http_tokens.NAME], or another socket_mode",
        ),
        Listen::Tcp(address) if !address.ip().is_loopback() && !has_tokens => Some(
            "is reachable from other hosts, so it needs tokens: write a section [http_tokens.NAME]",
        ),
        Listen::Tcp(address)
            if !address.ip().is_loopback() && config.tls.is_none() && !config.behind_proxy =>
        {
            Some(
                "is reachable from other hosts, so it needs TLS: set certificate_file and key_file, or behind_proxy = true if something before it encrypts",
            )
        }
        _ if config.behind_proxy && !has_tokens => Some(
            "is reachable through a proxy (behind_proxy), so it needs tokens: write a section [http_tokens.NAME]",
        ),
        _ => None,
    }
}

fn read_listen(reader: &mut Reader<'_>, section: &Section) -> Option<Listen> {
    let text = reader.text(section, "listen")?;
    let found = reader.find(section, "listen")?;
    let listen = match text.strip_prefix("unix:") {
        Some(path) if PathBuf::from(path).is_absolute() => Listen::Unix(PathBuf::from(path)),
        Some(_) => {
            reader.refuse(section, "listen", &found, "has no absolute path");
            return None;
        }
        None => match text.parse() {
            Ok(address) => Listen::Tcp(address),
            Err(_) => {
                let why = "is not an address with a port: write such as \"127.0.0.1:8686\", \"[::1]:8686\" or \"unix:/run/pgdumpd/http.sock\"";
                reader.refuse(section, "listen", &found, why);
                return None;
            }
        },
    };
    Some(listen)
}

fn read_socket_mode(reader: &mut Reader<'_>, section: &Section) -> u32 {
    let text = reader.text(section, "socket_mode").unwrap_or_default();
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ => {
            if let Some(found) = reader.find(section, "socket_mode") {
                let why = "is not a mode: write three octal digits, such as \"0660\"";
                reader.refuse(section, "socket_mode", &found, why);
            }
            0
        }
    }
}

fn read_tls(reader: &mut Reader<'_>, section: &Section) -> Option<TlsFiles> {
    let certificate = secrets::file(reader, section, "certificate_file");
    let key = secrets::file(reader, section, "key_file");
    for (name, other) in [
        ("certificate_file", "key_file"),
        ("key_file", "certificate_file"),
    ] {
        if let Some(found) = reader.find(section, name)
            && reader.find(section, other).is_none()
        {
            let text = format!("needs {other} beside it");
            reader.problem(section.key(name), Some(found.origin), text);
        }
    }
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn read_origins(reader: &mut Reader<'_>, section: &Section) -> Vec<String> {
    let origins = reader.list(section, "origins");
    for origin in &origins {
        if !is_origin(origin)
            && let Some(found) = reader.find(section, "origins")
        {
            let text = format!(
                "{origin:?} is not an origin: write scheme and host, such as \"https://shop.example.com\""
            );
            reader.problem(section.key("origins"), Some(found.origin), text);
        }
    }
    origins
}

/// As a browser sends it: no path, no slash at the end, nothing left out.
fn is_origin(text: &str) -> bool {
    let parsed = url::Url::parse(text);
    parsed.is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

fn read_tokens(reader: &mut Reader<'_>) -> BTreeMap<String, TokenConfig> {
    let mut tokens: BTreeMap<String, TokenConfig> = BTreeMap::new();
    for (name, section) in reader.named_sections("http_tokens", "http_tokens.*") {
        let Some(token) = read_token(reader, &section) else {
            continue;
        };
        if let Some((other, _)) = tokens
            .iter()
            .find(|(_, earlier)| earlier.token == token.token)
        {
            let text = format!("is the same token as that of {other:?}: give each its own");
            let origin = reader.find(&section, "file").map(|found| found.origin);
            reader.problem(section.key("file"), origin, text);
        }
        tokens.insert(name, token);
    }
    tokens
}

fn read_token(reader: &mut Reader<'_>, section: &Section) -> Option<TokenConfig> {
    let is_named = reader.find(section, "file").is_some();
    let token = secrets::in_file(reader, section, "file");
    if !is_named {
        let text = "is missing: name the file that holds the token";
        reader.problem(section.key("file"), None, text);
    }
    let scopes = read_scopes(reader, section);
    let targets = required_list(
        reader,
        section,
        "targets",
        "name them, or write [\"*\"] for all",
    );
    let targets = (targets != ["*"]).then_some(targets);
    let token = token?;
    let text = token.expose();
    if !TOKEN_LENGTH.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let origin = reader.find(section, "file").map(|found| found.origin);
        let text = format!(
            "must hold a token of {} to {} visible ASCII characters: `openssl rand -hex 32` makes one",
            TOKEN_LENGTH.start(),
            TOKEN_LENGTH.end()
        );
        reader.problem(section.key("file"), origin, text);
        return None;
    }
    Some(TokenConfig {
        token,
        scopes,
        targets,
    })
}

/// A list with at least one text: a token that may do nothing is a mistake.
fn required_list(
    reader: &mut Reader<'_>,
    section: &Section,
    name: &'static str,
    hint: &str,
) -> Vec<String> {
    let list = reader.list(section, name);
    let found = reader.find(section, name);
    let is_empty = found
        .as_ref()
        .is_none_or(|found| values::list(&found.value).is_some_and(|list| list.is_empty()));
    if is_empty {
        let origin = found.map(|found| found.origin);
        reader.problem(section.key(name), origin, format!("is missing: {hint}"));
    }
    list
}

fn read_scopes(reader: &mut Reader<'_>, section: &Section) -> Vec<Scope> {
    let known = Scope::ALL.map(Scope::word).join(", ");
    let words = required_list(reader, section, "scopes", &format!("write some of {known}"));
    let mut scopes = Vec::new();
    for word in &words {
        match Scope::ALL.into_iter().find(|scope| scope.word() == word) {
            Some(scope) => scopes.push(scope),
            None => {
                let origin = reader.find(section, "scopes").map(|found| found.origin);
                let text = format!("{word:?} is not a scope: known are {known}");
                reader.problem(section.key("scopes"), origin, text);
            }
        }
    }
    scopes
}

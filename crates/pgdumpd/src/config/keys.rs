//! Every key of the configuration: what it holds, its default, and what is allowed. The only list for the reader, for
//! the unknown-key check, and for the tests of the documents.

use std::fmt;
use std::time::Duration;

/// One key of one section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `queue`, or `targets.*` for the sections that have names.
    pub section: &'static str,
    /// The key in its section.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// As it would be written in a string; `None` if the key may be missing or is required.
    pub default: Option<&'static str>,
}

/// What a key holds, with its bounds.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Kind {
    /// A number with units, such as `5m` or `1h 30m`.
    Duration(Duration, Duration),
    /// Bytes, such as `10GiB`.
    Size,
    /// A whole number.
    Integer(u64, u64),
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An id in its hexadecimal form.
    Uuid,
    /// Any text, its meaning checked by its section.
    Text,
    /// A list of texts; in an environment variable separated by commas.
    List,
    /// A file or directory.
    Path,
    /// A `postgres://` address.
    Url,
    /// A text that is never shown.
    Secret,
}

impl Kind {
    /// Whether a value of this kind must not be shown as it was written.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Url)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration(min, max) => write!(
                f,
                "a duration from {} to {}",
                humantime::format_duration(*min),
                humantime::format_duration(*max)
            ),
            Self::Size => f.write_str("a size such as \"512MiB\" or \"10GB\""),
            Self::Integer(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::Boolean => f.write_str("true or false"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Uuid => f.write_str("a UUID such as \"f81d4fae-7dec-41d0-a765-00a0c91e6bf6\""),
            Self::Text => f.write_str("a text"),
            Self::List => f.write_str("a list of texts"),
            Self::Path => f.write_str("a path"),
            Self::Url => f.write_str("a postgres:// address"),
            Self::Secret => f.write_str("a secret text"),
        }
    }
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

const fn span(min_ms: u64, max_ms: u64) -> Kind {
    Kind::Duration(Duration::from_millis(min_ms), Duration::from_millis(max_ms))
}

const fn key(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
) -> Key {
    Key {
        section,
        name,
        kind,
        default,
    }
}

/// How many backups a daemon takes at once at most, and how many copies.
pub const MOST_AT_ONCE: usize = 64;

/// All keys, in the order in which the documents show them.
pub const KEYS: &[Key] = &[
    key("queue", "url", Kind::Url, None),
    key("queue", "url_file", Kind::Path, None),
    key("queue", "password", Kind::Secret, None),
    key("queue", "password_file", Kind::Path, None),
    key("queue", "queue_id", Kind::Uuid, None),
    key("queue", "pooled", Kind::Boolean, Some("false")),
    key("queue", "listen", Kind::Boolean, Some("true")),
    key("queue", "listen_url", Kind::Url, None),
    key("queue", "migrate_at_start", Kind::Boolean, Some("false")),
    key(
        "daemon",
        "max_jobs",
        Kind::Integer(1, MOST_AT_ONCE as u64),
        Some("2"),
    ),
    key(
        "daemon",
        "max_copies",
        Kind::Integer(0, MOST_AT_ONCE as u64),
        Some("2"),
    ),
    key("daemon", "lease", span(400, DAY), Some("5m")),
    key("daemon", "heartbeat", span(100, HOUR), Some("10s")),
    key("daemon", "poll_interval", span(50, HOUR), Some("5s")),
    key("daemon", "drain_timeout", span(0, 7 * DAY), Some("10m")),
    key("daemon", "check_interval", span(1000, 7 * DAY), Some("1h")),
    key("daemon", "max_rescues", Kind::Integer(0, 100), Some("3")),
    key("pg_dump", "directories", Kind::List, Some("")),
    key("log", "filter", Kind::Text, Some("info")),
    key(
        "log",
        "format",
        Kind::Choice(&["text", "json"]),
        Some("text"),
    ),
    key("http", "listen", Kind::Text, None),
    key("http", "socket_mode", Kind::Text, Some("0660")),
    key("http", "certificate_file", Kind::Path, None),
    key("http", "key_file", Kind::Path, None),
    key("http", "behind_proxy", Kind::Boolean, Some("false")),
    key("http", "origins", Kind::List, Some("")),
    key(
        "http",
        "max_connections",
        Kind::Integer(1, 100_000),
        Some("1200"),
    ),
    key(
        "http",
        "max_streams",
        Kind::Integer(0, 100_000),
        Some("1000"),
    ),
    key(
        "http",
        "requests_per_second",
        Kind::Integer(1, 1_000_000),
        Some("100"),
    ),
    key("http", "header_timeout", span(100, HOUR), Some("10s")),
    key("http_tokens.*", "file", Kind::Path, None),
    key("http_tokens.*", "scopes", Kind::List, None),
    key("http_tokens.*", "targets", Kind::List, None),
    key("notify.*", "url", Kind::Secret, None),
    key("notify.*", "url_file", Kind::Path, None),
    key(
        "notify.*",
        "format",
        Kind::Choice(&["json", "slack", "discord", "teams", "healthchecks", "email"]),
        Some("json"),
    ),
    key("notify.*", "secret_file", Kind::Path, None),
    key("notify.*", "events", Kind::List, Some("")),
    key("notify.*", "targets", Kind::List, Some("")),
    key("notify.*", "from", Kind::Text, None),
    key("notify.*", "to", Kind::List, None),
    key("notify.*", "user", Kind::Text, None),
    key("notify.*", "password_file", Kind::Path, None),
    key("storages.*", "path", Kind::Path, None),
    key("storages.*", "url", Kind::Text, None),
    key("storages.*", "storage_id", Kind::Uuid, None),
    key("storages.*", "min_free", Kind::Size, Some("1GiB")),
    key("storages.*", "endpoint", Kind::Text, None),
    key("storages.*", "region", Kind::Text, None),
    key("storages.*", "path_style", Kind::Boolean, None),
    key("storages.*", "access_key_id", Kind::Text, None),
    key("storages.*", "secret_access_key", Kind::Secret, None),
    key("storages.*", "secret_access_key_file", Kind::Path, None),
    key("storages.*", "session_token", Kind::Secret, None),
    key(
        "storages.*",
        "part_checksums",
        Kind::Choice(&["sha256", "none"]),
        Some("sha256"),
    ),
    key("storages.*", "service_account_file", Kind::Path, None),
    key("storages.*", "account", Kind::Text, None),
    key("storages.*", "access_key", Kind::Secret, None),
    key("storages.*", "access_key_file", Kind::Path, None),
    key("storages.*", "ca_file", Kind::Path, None),
    key("storages.*", "bandwidth", Kind::Size, None),
    key(
        "storages.*",
        "max_parts",
        Kind::Integer(1, 50_000),
        Some("10000"),
    ),
    key("storages.*", "part_size", Kind::Size, Some("8MiB")),
    key("storages.*", "upload_memory", Kind::Size, Some("64MiB")),
    key(
        "storages.*",
        "request_deadline",
        span(100, HOUR),
        Some("2m"),
    ),
    key("targets.*", "url", Kind::Url, None),
    key("targets.*", "url_file", Kind::Path, None),
    key("targets.*", "password", Kind::Secret, None),
    key("targets.*", "password_file", Kind::Path, None),
    key("targets.*", "databases", Kind::Choice(&["*"]), None),
    key("targets.*", "exclude_databases", Kind::List, Some("")),
    key("targets.*", "storage", Kind::Text, None),
    key("targets.*", "copies", Kind::List, Some("")),
    key("targets.*", "compression", Kind::Text, Some("auto")),
    key(
        "targets.*",
        "compressor",
        Kind::Choice(&["auto", "pg_dump", "pgdumpd"]),
        Some("auto"),
    ),
    key(
        "targets.*",
        "globals",
        Kind::Choice(&["none", "without-passwords", "with-passwords"]),
        Some("none"),
    ),
    key("targets.*", "lock_wait_timeout", span(100, DAY), Some("5m")),
    key(
        "targets.*",
        "stall_timeout",
        span(100, 7 * DAY),
        Some("15m"),
    ),
    key("targets.*", "progress_sample", Kind::Boolean, Some("true")),
    key("targets.*", "strict_filters", Kind::Boolean, Some("false")),
    key("targets.*", "timeout", span(1000, 30 * DAY), None),
    key("targets.*", "schedule", Kind::Text, None),
    key("targets.*", "schedule_zone", Kind::Text, Some("UTC")),
    key("targets.*", "alert_after", span(1000, 30 * DAY), None),
    key("targets.*", "keep_last", Kind::Integer(1, 100_000), None),
    key(
        "targets.*",
        "keep_partial",
        Kind::Integer(1, 1_000_000),
        None,
    ),
    key("targets.*", "encrypt_to", Kind::List, Some("")),
    key(
        "targets.*",
        "manifest",
        Kind::Choice(&["clear", "sealed"]),
        Some("clear"),
    ),
];

/// The keys of one section.
pub(super) fn of_section(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// The sections, without the `.*` of those that have names, in order.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS
        .iter()
        .map(|key| key.section.trim_end_matches(".*"))
        .collect();
    sections.dedup();
    sections
}

/// Whether the section's keys are one level deeper, under a name.
pub(super) fn has_names(section: &str) -> bool {
    KEYS.iter()
        .any(|key| key.section.strip_suffix(".*") == Some(section))
}

/// The word of `known` that was probably meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

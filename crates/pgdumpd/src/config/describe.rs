//! The configuration as it was understood, for `pgdumpd config`.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Config;
use super::origin::Origin;

/// A valid configuration, and how it came about.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that was read; `None` if there was none.
    pub file: Option<PathBuf>,
    /// Every effective value, without secrets.
    pub entries: Vec<Entry>,
    /// What works but should not stay so; each a line for the log.
    pub warnings: Vec<String>,
}

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Such as `daemon.lease`.
    pub key: String,
    /// As TOML would write it; `"***"` for a secret.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Loaded {
    /// One line a value, with its source; then the warnings.
    pub fn describe(&self) -> String {
        let width = |length: fn(&Entry) -> usize| self.entries.iter().map(length).max();
        let widest = width(|entry| entry.key.len() + entry.value.len())
            .unwrap_or(0)
            .min(60);
        let mut text = String::new();
        for Entry { key, value, origin } in &self.entries {
            let padding = " ".repeat(widest.saturating_sub(key.len() + value.len()));
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{key} = {value}{padding}  # {origin}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }

    /// The same for programs: `{"file", "values": [{"key", "value", "source"}], "warnings"}`.
    pub fn describe_json(&self) -> Value {
        let values: Vec<_> = self
            .entries
            .iter()
            .map(|Entry { key, value, origin }| {
                json!({ "key": key, "value": value, "source": origin.to_string() })
            })
            .collect();
        json!({ "file": self.file, "values": values, "warnings": self.warnings })
    }
}

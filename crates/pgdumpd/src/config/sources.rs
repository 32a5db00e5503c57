//! Where values come from, lowest first: the defaults, `DATABASE_URL`, a TOML file, `PGDUMPD_…` variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::error::Problem;
use super::keys;
use super::origin::{Origin, PREFIX};

/// Read if neither `--config` nor `PGDUMPD_CONFIG` names another, and if it is there.
pub const DEFAULT_FILE: &str = "/etc/pgdumpd/pgdumpd.toml";

/// What a configuration is read from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The file of `--config`; must exist.
    pub file: Option<PathBuf>,
    /// Read if no other is named; need not exist.
    pub default_file: PathBuf,
    /// The environment.
    pub variables: BTreeMap<String, String>,
}

impl Sources {
    /// The process's environment, and the file of `--config` if there is one.
    ///
    /// Variables that are not UTF-8 are passed on with replacement characters, which no key accepts.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        Self {
            file,
            default_file: PathBuf::from(DEFAULT_FILE),
            variables: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        }
    }

    /// A variable's value; an empty one counts as not set.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// One source's values.
struct Layer {
    metadata: Metadata,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// The merged values, and the file that was read.
pub(super) struct Merged {
    pub(super) figment: Figment,
    pub(super) file: Option<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

/// Merges all layers but the defaults, which the reader takes from the table of keys.
pub(super) fn merge(sources: &Sources) -> Result<Merged, Problem> {
    let mut figment = Figment::new();
    if let Some(url) = sources.variable("DATABASE_URL") {
        figment = figment.merge(variable("DATABASE_URL", &["queue", "url"], url));
    }
    let (file, table) = match read_file(sources)? {
        Some((path, table)) => (Some(path), table),
        None => (None, Dict::new()),
    };
    if let Some(path) = &file {
        figment = figment.merge(Layer {
            metadata: Metadata::from("file", path.as_path()),
            values: table.clone(),
        });
    }
    let mut problems = Vec::new();
    for (name, value) in &sources.variables {
        match key_of_variable(name, &table) {
            Ok(Some(path)) if !value.is_empty() => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                figment = figment.merge(variable(name, &path, value));
            }
            Ok(_) => {}
            Err(text) => problems.push(Problem {
                key: String::new(),
                origin: Some(Origin::Variable(name.clone())),
                text,
            }),
        }
    }
    Ok(Merged {
        figment,
        file,
        problems,
    })
}

fn variable(name: &str, path: &[&str], value: &str) -> Layer {
    let mut values = Value::from(value);
    for key in path.iter().rev() {
        values = Value::from(Dict::from([((*key).to_owned(), values)]));
    }
    Layer {
        metadata: Metadata::from("variable", Source::Custom(name.to_owned())),
        values: values.into_dict().unwrap_or_default(),
    }
}

/// `PGDUMPD_DAEMON__LEASE` is `daemon.lease`, `PGDUMPD_TARGETS__MY_APP__URL` is `targets.my_app.url`, or
/// `targets.My-App.url` if the file has such a target. Other variables are none of ours.
fn key_of_variable(name: &str, file: &Dict) -> Result<Option<Vec<String>>, String> {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Ok(None);
    };
    let rest = rest.to_ascii_lowercase();
    let Some((section, key)) = rest.split_once("__") else {
        // PGDUMPD_CONFIG and the like are not keys; PGDUMPD_QUEUE_URL is a mistake.
        let section = keys::sections().into_iter().find(|section| {
            rest.strip_prefix(section)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        return match section {
            None => Ok(None),
            Some(section) => Err(format!(
                "two underscores separate section and key: {PREFIX}{}__KEY",
                section.to_ascii_uppercase()
            )),
        };
    };
    if !keys::has_names(section) {
        return Ok(Some(vec![section.to_owned(), key.to_owned()]));
    }
    let Some((spelled, key)) = key.rsplit_once("__") else {
        return Err(format!(
            "the name is missing: {PREFIX}{}__NAME__KEY",
            section.to_ascii_uppercase()
        ));
    };
    let plain = |name: &str| {
        name.to_ascii_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    };
    let named = file
        .get(section)
        .and_then(Value::as_dict)
        .and_then(|names| names.keys().find(|name| plain(name) == spelled));
    let name = named.map_or(spelled, String::as_str);
    Ok(Some(vec![
        section.to_owned(),
        name.to_owned(),
        key.to_owned(),
    ]))
}

fn read_file(sources: &Sources) -> Result<Option<(PathBuf, Dict)>, Problem> {
    let named = sources
        .file
        .clone()
        .or_else(|| sources.variable("PGDUMPD_CONFIG").map(PathBuf::from));
    let path = named.as_ref().unwrap_or(&sources.default_file);
    let problem = |text: String| Problem {
        key: String::new(),
        origin: Some(Origin::File(path.clone())),
        text,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => return Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(problem(format!(
                "cannot be read: {error}: run pgdumpd as the daemon's user (sudo -u pgdumpd pgdumpd …), or name another file with --config"
            )));
        }
        Err(error) => return Err(problem(format!("cannot be read: {error}"))),
    };
    let dict = parse_toml(&text).map_err(problem)?;
    Ok(Some((absolute(path), dict)))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The error gives the place alone: the parser's own text quotes the line, which may hold a password.
fn parse_toml(text: &str) -> Result<Dict, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("line {line}, column {column} is not TOML (text needs quotes, and each key is written once)")
    })?;
    Value::serialize(table)
        .map_err(|error| error.to_string())?
        .into_dict()
        .ok_or_else(|| "is not a table".to_owned())
}

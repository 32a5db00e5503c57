//! Holds the example configuration and docs/CONFIG.md to the table of keys in the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pgdumpd::config::{Config, KEYS, Key, Kind, Sources};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

fn sources(file: PathBuf) -> Sources {
    Sources {
        file: Some(file),
        default_file: PathBuf::new(),
        variables: BTreeMap::new(),
    }
}

/// A key's whole name, with `*` for the name in a named section.
fn full(key: &Key) -> String {
    format!("{}.{}", key.section, key.name)
}

/// A default as TOML writes it.
fn written_default(key: &Key) -> Option<String> {
    let default = key.default?;
    Some(match key.kind {
        Kind::List => "[]".to_owned(),
        Kind::Integer(..) | Kind::Boolean => default.to_owned(),
        _ => format!("{default:?}"),
    })
}

/// One `key = value` line of the example, commented out or not.
struct Line {
    section: String,
    name: String,
    value: String,
}

impl Line {
    fn key(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

fn example_lines() -> Vec<Line> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in read("deploy/pgdumpd.toml").lines() {
        // The header of a section that is an example as a whole.
        let line = line
            .strip_prefix("#[")
            .map_or(line.to_owned(), |rest| format!("[{rest}"));
        let line = line.as_str();
        if let Some(header) = line.strip_prefix('[') {
            let name = header.trim_end_matches(']');
            section = match name.split_once('.') {
                Some((top, _)) => format!("{top}.*"),
                None => name.to_owned(),
            };
            continue;
        }
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some((name, value)) = line.split_once(" = ")
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            lines.push(Line {
                section: section.clone(),
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    lines
}

#[test]
fn the_example_configuration_loads() {
    let loaded = Config::load(&sources(repository().join("deploy/pgdumpd.toml")));
    let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
    assert_eq!(config.targets["app"].storage, "local");
}

#[test]
fn the_example_configuration_has_every_key_once_and_no_other() {
    let lines = example_lines();
    let shown: BTreeSet<_> = lines.iter().map(Line::key).collect();
    assert_eq!(shown, KEYS.iter().map(full).collect());
    assert_eq!(shown.len(), lines.len(), "a key comes twice");
}

#[test]
fn the_example_configuration_shows_the_defaults_of_the_code() {
    let lines = example_lines();
    for key in KEYS {
        let Some(default) = written_default(key) else {
            continue;
        };
        let line = lines.iter().find(|line| line.key() == full(key)).unwrap();
        assert_eq!(line.value, default, "{}", full(key));
    }
}

/// What a storage must have for this key to have a meaning.
fn beside(key: &str) -> Vec<String> {
    let lines: &[&str] = match key {
        "path" | "storage_id" | "min_free" => &["path = \"/srv\""],
        "access_key_id" => &["url = \"s3://b\"", "secret_access_key = \"x\""],
        "secret_access_key" | "secret_access_key_file" => {
            &["url = \"s3://b\"", "access_key_id = \"x\""]
        }
        "session_token" => &[
            "url = \"s3://b\"",
            "access_key_id = \"x\"",
            "secret_access_key = \"x\"",
        ],
        "service_account_file" => &["url = \"gs://b\""],
        "account" => &["url = \"az://b\""],
        "access_key" | "access_key_file" => &["url = \"az://b\"", "account = \"x\""],
        _ => &["url = \"s3://b\""],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// What a key of a receiver needs beside it.
fn beside_receiver(name: &str) -> &'static [&'static str] {
    match name {
        "url" | "url_file" => &[],
        "from" => &[
            "format = \"email\"",
            "url = \"smtps://x\"",
            "to = [\"a@b.c\"]",
        ],
        "to" => &[
            "format = \"email\"",
            "url = \"smtps://x\"",
            "from = \"a@b.c\"",
        ],
        "user" => &[
            "format = \"email\"",
            "url = \"smtps://x\"",
            "from = \"a@b.c\"",
            "to = [\"a@b.c\"]",
            "password_file = \"mail.password\"",
        ],
        "password_file" => &[
            "format = \"email\"",
            "url = \"smtps://x\"",
            "from = \"a@b.c\"",
            "to = [\"a@b.c\"]",
            "user = \"x\"",
        ],
        _ => &["url = \"https://x\""],
    }
}

#[test]
fn each_example_value_is_one_that_its_key_takes() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("pgdumpd.toml");
    for name in [
        "queue.url",
        "app.url",
        "queue.password",
        "app.password",
        "s3.secret",
        "google.json",
        "azure.key",
        "ca.pem",
        "mail.password",
        "ops.secret",
    ] {
        std::fs::write(directory.path().join(name), "postgres://b@db/x").unwrap();
    }
    std::fs::write(
        directory.path().join("ops.url"),
        "https://hooks.example.com/x",
    )
    .unwrap();
    std::fs::write(
        directory.path().join("shop.token"),
        "0123456789abcdef".repeat(4),
    )
    .unwrap();
    for name in ["http.crt", "http.key"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    for line in example_lines() {
        // The smallest configuration that has this key: what it excludes is left out, what it needs is there.
        let mut sections = BTreeMap::from([
            ("queue", vec!["url = \"postgres://b@db/x\"".to_owned()]),
            ("storages.*", vec!["path = \"/srv\"".to_owned()]),
            ("targets.*", vec!["url = \"postgres://b@db/x\"".to_owned()]),
        ]);
        if line.section == "storages.*" {
            sections.insert("storages.*", beside(&line.name));
        }
        let keys = sections.entry(&line.section).or_default();
        if ["url", "url_file", "path"].contains(&line.name.as_str()) {
            keys.clear();
        }
        if line.section == "http_tokens.*" {
            keys.extend(
                [
                    ("file", "\"shop.token\""),
                    ("scopes", "[\"read\"]"),
                    ("targets", "[\"*\"]"),
                ]
                .into_iter()
                .filter(|(name, _)| *name != line.name)
                .map(|(name, value)| format!("{name} = {value}")),
            );
        }
        if line.section == "notify.*" {
            keys.clear();
            keys.extend(
                beside_receiver(&line.name)
                    .iter()
                    .map(|key| (*key).to_owned()),
            );
        }
        match line.name.as_str() {
            "certificate_file" => keys.push("key_file = \"http.key\"".to_owned()),
            "key_file" => keys.push("certificate_file = \"http.crt\"".to_owned()),
            _ => {}
        }
        if line.name == "exclude_databases" {
            keys.push("databases = \"*\"".to_owned());
        }
        if line.name == "keep_partial" {
            keys.push("keep_last = 14".to_owned());
        }
        if line.name == "schedule_zone" {
            keys.push("schedule = \"30 3 * * *\"".to_owned());
        }
        keys.push(format!("{} = {}", line.name, line.value));
        let text: String = sections
            .iter()
            .map(|(section, keys)| {
                let section = section.replace('*', "local");
                format!("[{section}]\n{}\n", keys.join("\n"))
            })
            .collect();
        std::fs::write(&file, text).unwrap();
        if let Err(error) = Config::load(&sources(file.clone())) {
            panic!("{}: {error}", line.key());
        }
    }
}

#[test]
fn the_document_describes_every_key_as_the_code_has_it() {
    let expected: Vec<Vec<String>> = KEYS
        .iter()
        .map(|key| {
            let section = key.section.replace(".*", "__NAME");
            let variable = format!("PGDUMPD_{section}__{}", key.name).to_uppercase();
            let default = match (key.kind, key.default) {
                (_, None) => "none".to_owned(),
                (Kind::List, Some(_)) => "`[]`".to_owned(),
                (_, Some(default)) => format!("`{default}`"),
            };
            vec![
                format!("`{}`", key.name),
                format!("`{variable}`"),
                key.kind.to_string(),
                default,
            ]
        })
        .collect();
    let document = read("docs/CONFIG.md");
    let described: Vec<Vec<String>> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let cells = format!("`{row}");
            cells.split(" | ").take(4).map(str::to_owned).collect()
        })
        .collect();
    assert_eq!(described, expected);
}

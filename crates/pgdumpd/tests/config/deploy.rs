//! The deployments that come with pgdumpd agree with the code: their configurations load, and whoever stops
//! the daemon waits longer than it drains.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgdumpd::config::{Config, KEYS, Loaded, PlaceConfig, Sources};
use tempfile::TempDir;

/// What a stop may take after the drain: sessions ended, jobs handed back.
const AFTER_DRAIN: Duration = Duration::from_secs(60);

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The value after `key` on the first line that begins with it.
fn value(path: &str, key: &str) -> String {
    let text = read(path);
    let found = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(key));
    found.map_or_else(
        || panic!("{path} has no {key}"),
        |value| value.trim().to_owned(),
    )
}

fn load(file: Option<PathBuf>, variables: BTreeMap<String, String>) -> Loaded {
    let sources = Sources {
        file,
        default_file: PathBuf::new(),
        variables,
    };
    Config::load(&sources).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn whoever_stops_the_daemon_waits_longer_than_it_drains() {
    let drain = KEYS.iter().find(|key| key.name == "drain_timeout");
    let drain = humantime::parse_duration(drain.unwrap().default.unwrap()).unwrap();
    for (path, key, unit) in [
        ("systemd/pgdumpd.service", "TimeoutStopSec=", ""),
        ("deploy/compose.yaml", "stop_grace_period:", ""),
        (
            "deploy/kubernetes/deployment.yaml",
            "terminationGracePeriodSeconds:",
            "s",
        ),
    ] {
        let stop = humantime::parse_duration(&(value(path, key) + unit)).unwrap();
        assert!(stop >= drain + AFTER_DRAIN, "{path}: {stop:?}");
    }
}

#[test]
fn the_variables_of_the_compose_file_load() {
    let secrets = TempDir::new().unwrap();
    std::fs::write(secrets.path().join("postgres_password"), "x").unwrap();
    let directory = format!("{}/", secrets.path().display());
    let variables: BTreeMap<_, _> = read("deploy/compose.yaml")
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("PGDUMPD_"))
        .map(|(name, value)| {
            let value = value.trim_matches('"').replace("/run/secrets/", &directory);
            (name.to_owned(), value)
        })
        .collect();
    let config = load(None, variables).config;
    assert!(config.queue.migrate_at_start);
    assert!(config.queue.url.password().is_some());
    assert_eq!(config.targets["app"].storage, "local");
}

#[test]
fn the_configuration_in_the_kubernetes_config_map_loads() {
    let directory = TempDir::new().unwrap();
    for name in ["queue.password", "app.password"] {
        // The Secret has the files that the configuration names.
        value("deploy/kubernetes/example/secret.yaml", &format!("{name}:"));
        std::fs::write(directory.path().join(name), "x").unwrap();
    }
    let text: String = read("deploy/kubernetes/configmap.yaml")
        .lines()
        .skip_while(|line| !line.contains("pgdumpd.toml: |"))
        .skip(1)
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    let file = directory.path().join("pgdumpd.toml");
    std::fs::write(&file, text).unwrap();
    let credentials = directory.path().display().to_string();
    let variables = BTreeMap::from([("CREDENTIALS_DIRECTORY".to_owned(), credentials)]);
    let config = load(Some(file), variables).config;
    assert!(config.log.json);
    assert!(config.targets["app"].url.password().is_some());
    let PlaceConfig::Local { path, .. } = &config.storages["local"].place else {
        panic!("the container's storage is a directory");
    };
    let path = path.display().to_string();
    let mount = value("deploy/kubernetes/deployment.yaml", "mountPath: /var/lib");
    assert_eq!(path, format!("/var/lib{mount}"));
}

#[test]
fn the_debian_package_brings_every_document() {
    let manifest = read("crates/pgdumpd/Cargo.toml");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let names: Vec<String> = std::fs::read_dir(docs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| match name.as_str() {
            // A folder of what README shows.
            "pictures" => "pictures/*.png".to_owned(),
            _ => name,
        })
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let folder = name.strip_suffix("*.png").unwrap_or_default();
        let asset = format!("\"../../docs/{name}\", \"usr/share/doc/pgdumpd/docs/{folder}\"");
        assert!(manifest.contains(&asset), "docs/{name} is not an asset");
    }
}

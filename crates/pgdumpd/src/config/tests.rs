mod secrets;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

/// No part of any output may contain it.
const MARKER: &str = "hunter2marker";

const SMALL: &str = r#"
[queue]
url = "postgres://q@db/queue"
[storages.local]
path = "/srv/backups"
[targets.app]
url = "postgres://b@db/app"
"#;

/// A directory with a configuration file, and an environment.
struct Setup {
    directory: TempDir,
    sources: Sources,
}

impl Setup {
    fn nothing() -> Self {
        let directory = TempDir::new().unwrap();
        Self {
            sources: Sources {
                file: None,
                default_file: directory.path().join("absent.toml"),
                variables: BTreeMap::new(),
            },
            directory,
        }
    }

    fn file(text: &str) -> Self {
        let mut setup = Self::nothing();
        setup.sources.file = Some(setup.write("pgdumpd.toml", text, 0o640));
        setup
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.insert(name.into(), value.into());
        self
    }

    fn load(&self) -> Loaded {
        Config::load(&self.sources).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The error's text with the directory's random name taken out.
    fn refusal(&self) -> String {
        let error = Config::load(&self.sources).unwrap_err().to_string();
        assert!(!error.contains(MARKER), "{error}");
        error.replace(self.directory.path().to_str().unwrap(), "DIR")
    }
}

fn min_free(config: &Config) -> u64 {
    match &config.storages["local"].place {
        PlaceConfig::Local { min_free, .. } => *min_free,
        PlaceConfig::Remote(remote) => panic!("{remote}"),
    }
}

fn origin_of(loaded: &Loaded, key: &str) -> String {
    let entry = loaded.entries.iter().find(|entry| entry.key == key);
    entry.map_or("not there".into(), |entry| entry.origin.to_string())
}

#[test]
fn a_small_file_is_enough_and_the_rest_has_defaults() {
    let config = Setup::file(SMALL).load().config;
    assert_eq!(config.queue.url.database(), "queue");
    assert!(config.queue.listen && !config.queue.pooled && !config.queue.migrate_at_start);
    assert_eq!(
        config.daemon,
        DaemonConfig {
            max_jobs: 2,
            max_copies: 2,
            lease: Duration::from_secs(300),
            heartbeat: Duration::from_secs(10),
            poll_interval: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(600),
            check_interval: Duration::from_secs(3600),
            max_rescues: 3,
        }
    );
    let target = &config.targets["app"];
    assert_eq!(target.storage, "local");
    assert_eq!(target.databases, Databases::One);
    assert_eq!(target.compression, Compression::Auto);
    assert_eq!(target.lock_wait_timeout, Duration::from_secs(300));
    assert_eq!(target.stall_timeout, Duration::from_secs(900));
    assert_eq!(target.timeout, None);
    assert_eq!((target.keep_last, target.keep_partial), (None, None));
    assert_eq!(min_free(&config), 1 << 30);
    assert_eq!(target.copies, [""; 0]);
    assert_eq!(config.log.filter, "info");
    assert!(!config.log.json);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_defaults() {
    let loaded = Setup::file(&format!("{SMALL}[daemon]\nlease = \"8m\"\nmax_jobs = 4\n"))
        .with("PGDUMPD_DAEMON__MAX_JOBS", "7")
        .with("PGDUMPD_QUEUE__LISTEN", "false")
        .with("PGDUMPD_PG_DUMP__DIRECTORIES", "/a, /b")
        .with("PGDUMPD_STORAGES__LOCAL__MIN_FREE", "2GB")
        .with("PGDUMPD_LOG__FORMAT", "")
        .load();
    assert_eq!(loaded.config.daemon.max_jobs, 7);
    assert_eq!(loaded.config.daemon.lease, Duration::from_secs(480));
    assert!(!loaded.config.queue.listen);
    let directories = loaded.config.pg_dump.directories.clone();
    assert_eq!(directories, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(min_free(&loaded.config), 2_000_000_000);
    assert_eq!(
        origin_of(&loaded, "daemon.max_jobs"),
        "PGDUMPD_DAEMON__MAX_JOBS"
    );
    assert!(origin_of(&loaded, "daemon.lease").ends_with("/pgdumpd.toml"));
    assert_eq!(origin_of(&loaded, "daemon.heartbeat"), "default");
    assert_eq!(origin_of(&loaded, "log.format"), "default");
}

#[test]
fn a_variable_finds_the_target_whose_name_it_cannot_spell() {
    let text = SMALL.replace("targets.app", "targets.\"My-App.v2\"");
    let loaded = Setup::file(&text)
        .with("PGDUMPD_TARGETS__MY_APP_V2__PASSWORD", "007")
        .with("PGDUMPD_TARGETS__OTHER__URL", "postgres://b@db/other")
        .load();
    let password = loaded.config.targets["My-App.v2"].url.password().unwrap();
    assert_eq!(password.expose_secret(), "007");
    assert_eq!(loaded.config.targets["other"].url.database(), "other");
}

#[test]
fn copies_go_to_configured_storages_each_once_and_not_to_the_targets_own() {
    let file = |copies: &str| {
        let further =
            "[storages.offsite]\npath = \"/mnt/offsite\"\n[storages.tape]\npath = \"/mnt/tape\"\n";
        Setup::file(&format!(
            "{further}[queue]\nurl = \"postgres://q@db/queue\"\n[storages.local]\npath = \"/srv\"\n\
             [targets.app]\nurl = \"postgres://b@db/app\"\nstorage = \"local\"\ncopies = {copies}\n"
        ))
    };
    let config = file(r#"["tape", "offsite"]"#).load().config;
    assert_eq!(config.targets["app"].copies, ["tape", "offsite"]);
    for (copies, wrong) in [
        (r#"["local"]"#, "\"local\" is the target's own storage"),
        (r#"["tape", "tape"]"#, "\"tape\" is named twice"),
        (
            r#"["moon"]"#,
            "\"moon\" is not configured: known are local, offsite, tape",
        ),
    ] {
        let problems = file(copies).refusal();
        assert!(problems.contains(wrong), "{problems}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let setup = Setup::file(
        r#"
        [queue]
        url = "postgres://q@db/queue?sslmod=require"
        queue_id = "seven"
        [daemon]
        lease = "30s"
        heartbeat = "10s"
        poll_interval = 5
        max_jobs = 0
        drain_timeot = "1m"
        [log]
        format = "xml"
        filter = "pgdumpd=loud"
        [storages.local]
        path = "backups"
        min_free = "1 GiBi"
        [targets.app]
        url = "postgres://b@db/app"
        storage = "tape"
        compression = "zip"
        stall_timeout = "forever"
        keep_last = 0
        schedule = "61 * * * *"
        schedule_zone = "europe/berlin"
        exclude_databases = ["x"]
        [targets."a/b"]
        databases = "some"
        schedule_zone = "UTC"
        [targets.web]
        url = "postgres://b@db/web"
        schedule = "0 0 30 2 *"
        [target.slip]
        url = "postgres://b@db/app"
        "#,
    )
    .with("PGDUMPD_QUEUE_URL", "postgres://q@db/queue")
    .with("PGDUMPD_DAEMON__LEESE", "5m");
    insta::assert_snapshot!(setup.refusal());
}

#[test]
fn a_missing_queue_is_reported_with_the_ways_to_name_it() {
    insta::assert_snapshot!(Setup::nothing().refusal(), @"the configuration has a problem: queue.url: is missing: set it or url_file in the configuration file, or PGDUMPD_QUEUE__URL or DATABASE_URL in the environment");
}

#[test]
fn a_file_that_is_named_must_exist() {
    let mut setup = Setup::file(SMALL);
    setup.sources.file = Some(setup.directory.path().join("no.toml"));
    insta::assert_snapshot!(setup.refusal(), @"the configuration has a problem: DIR/no.toml: cannot be read: No such file or directory (os error 2)");
    setup.sources.file = None;
    let path = setup.directory.path().join("pgdumpd.toml");
    let setup = setup.with("PGDUMPD_CONFIG", path.to_str().unwrap());
    assert_eq!(setup.load().file, Some(path));
}

#[test]
fn broken_toml_is_located_but_not_quoted() {
    let text = format!("{SMALL}password = {MARKER}\n");
    insta::assert_snapshot!(Setup::file(&text).refusal(), @"the configuration has a problem: DIR/pgdumpd.toml: line 8, column 12 is not TOML (text needs quotes, and each key is written once)");
}

#[test]
fn database_url_fills_in_for_a_file_without_a_queue_only() {
    let without = SMALL.replace("url = \"postgres://q@db/queue\"", "");
    let setup = Setup::file(&without).with("DATABASE_URL", "postgres://x@db/fallback");
    assert_eq!(setup.load().config.queue.url.database(), "fallback");
    let setup = Setup::file(SMALL).with("DATABASE_URL", "postgres://x@db/fallback");
    let loaded = setup.load();
    assert_eq!(loaded.config.queue.url.database(), "queue");
    assert!(!loaded.config.queue.migrate_at_start);
    let from_file = without.replace("[queue]", "[queue]\nurl_file = \"queue.url\"");
    let setup = Setup::file(&from_file).with("DATABASE_URL", "postgres://x@db/fallback");
    setup.write("queue.url", "postgres://q@db/filed", 0o600);
    assert_eq!(setup.load().config.queue.url.database(), "filed");
}

#[test]
fn without_configuration_a_database_url_is_enough() {
    let setup = Setup::nothing()
        .with("DATABASE_URL", "postgres://me:pw@db/shop")
        .with("HOME", "/home/me");
    let config = setup.load().config;
    assert!(config.queue.migrate_at_start);
    assert_eq!(config.targets.keys().collect::<Vec<_>>(), ["shop"]);
    assert_eq!(config.targets["shop"].url, config.queue.url);
    assert_eq!(config.targets["shop"].storage, "local");
    let path = |setup: &Setup| match &setup.load().config.storages["local"].place {
        PlaceConfig::Local { path, .. } => path.clone(),
        PlaceConfig::Remote(remote) => panic!("{remote}"),
    };
    let is = PathBuf::from;
    assert_eq!(path(&setup), is("/home/me/.local/state/pgdumpd/backups"));
    let setup = setup.with("XDG_STATE_HOME", "/xdg");
    assert_eq!(path(&setup), is("/xdg/pgdumpd/backups"));
    let setup = setup.with("STATE_DIRECTORY", "/var/lib/pgdumpd:/var/lib/other");
    assert_eq!(path(&setup), is("/var/lib/pgdumpd/backups"));
    let setup = setup.with("PGDUMPD_STORAGE", "/srv/here");
    assert_eq!(path(&setup), is("/srv/here"));
    insta::assert_snapshot!(setup.load().describe());
}

#[test]
fn without_configuration_and_without_a_home_the_variable_is_named() {
    let setup = Setup::nothing().with("DATABASE_URL", "postgres://me@db/shop");
    assert!(setup.refusal().contains("set PGDUMPD_STORAGE"));
}

#[test]
fn each_database_of_a_server_can_be_meant() {
    let text = format!("{SMALL}databases = \"*\"\nexclude_databases = [\"postgres\", \"x\"]");
    let config = Setup::file(&text).load().config;
    let exclude = vec!["postgres".to_owned(), "x".to_owned()];
    assert_eq!(config.targets["app"].databases, Databases::All { exclude });
}

#[test]
fn a_schedule_has_the_zone_beside_it_and_utc_without_one() {
    let nightly = |zone: &str| {
        let text = format!("{SMALL}schedule = \"30 3 * * *\"\n{zone}");
        let target = Setup::file(&text).load().config.targets.remove("app");
        target.unwrap().schedule.unwrap().to_string()
    };
    assert_eq!(nightly(""), "30 3 * * * UTC");
    let berlin = nightly("schedule_zone = \"Europe/Berlin\"");
    assert_eq!(berlin, "30 3 * * * Europe/Berlin");
    let setup = Setup::file(SMALL).with("PGDUMPD_TARGETS__APP__SCHEDULE", "0 22 * * mon-fri");
    let target = setup.load().config.targets.remove("app").unwrap();
    assert_eq!(target.schedule.unwrap().to_string(), "0 22 * * mon-fri UTC");
}

#[test]
fn a_target_is_encrypted_to_the_keys_that_it_names() {
    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let with = |lines: &str| Setup::file(&format!("{SMALL}{lines}"));
    let of = |lines: &str| with(lines).load().config.targets.remove("app").unwrap();
    assert_eq!(of("").encryption, None);
    let clear = of(&format!("encrypt_to = [\"{KEY}\", \"{KEY}\"]"));
    assert_eq!(
        clear.encryption.as_ref().unwrap().encrypt_to.texts(),
        [KEY, KEY]
    );
    assert!(!clear.is_sealed());
    assert!(of(&format!("encrypt_to = \"{KEY}\"\nmanifest = \"sealed\"")).is_sealed());
    insta::assert_snapshot!(with("manifest = \"sealed\"").refusal(), @r#"the configuration has a problem: targets.app.manifest (DIR/pgdumpd.toml): "sealed" has no meaning without encrypt_to: name the public keys of those who may read the backups"#);
    insta::assert_snapshot!(with(&format!("encrypt_to = [\"{KEY}\", \"age1yubikey1qwerty\"]")).refusal(), @"the configuration has a problem: targets.app.encrypt_to (DIR/pgdumpd.toml): (entry 2) is a key of a plugin or a post-quantum key, which are not supported: make an X25519 key with `age-keygen`");
}

#[test]
fn a_target_must_choose_among_several_storages() {
    let text = format!("{SMALL}[storages.second]\npath = \"/mnt\"");
    insta::assert_snapshot!(Setup::file(&text).refusal(), @"the configuration has a problem: targets.app.storage: is missing: name one of local, second");
}

#[test]
fn a_listener_takes_the_password_of_the_queue() {
    let text = SMALL.replace(
        "[storages.local]",
        "pooled = true\npassword = \"s\"\nlisten_url = \"postgres://q@direct/queue\"\n[storages.local]",
    );
    let queue = Setup::file(&text).load().config.queue;
    let listen = queue.listen_url.unwrap();
    assert_eq!(listen.host(), "direct");
    assert_eq!(listen.password().unwrap().expose_secret(), "s");
}

#[test]
fn a_daemon_without_targets_is_warned_of_but_may_be_looked_at() {
    let setup = Setup::file("").with("PGDUMPD_QUEUE__URL", "postgres://q@db/queue");
    let warnings = setup.load().warnings;
    assert!(warnings[0].contains("no target"), "{warnings:?}");
}

#[test]
fn variables_that_only_sqlx_obeys_are_warned_of() {
    let warnings = Setup::file(SMALL)
        .with("PGOPTIONS", "-c x=y")
        .load()
        .warnings;
    assert!(warnings[0].contains("PGOPTIONS"), "{warnings:?}");
}

#[test]
fn every_default_is_allowed() {
    // A default out of its own bounds would make the smallest file a problem.
    let small = format!(
        "{SMALL}schedule = \"@daily\"\nstorage = \"local\"\n[storages.s3]\nurl = \"s3://backups\"\n[notify.ops]\nurl = \"https://x\"\n"
    );
    let loaded = Setup::file(&small).load();
    for key in KEYS.iter().filter(|key| key.default.is_some()) {
        let storage = match key.name {
            "min_free" => "storages.local",
            _ => "storages.s3",
        };
        let section = key
            .section
            .replace("targets.*", "targets.app")
            .replace("notify.*", "notify.ops")
            .replace("storages.*", storage);
        assert_eq!(
            origin_of(&loaded, &format!("{section}.{}", key.name)),
            "default",
            "{}.{}",
            key.section,
            key.name
        );
    }
}

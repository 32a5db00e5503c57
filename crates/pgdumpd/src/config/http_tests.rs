//! Listeners and tokens as the configuration may write them, and what does not start.

use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// No part of any output may contain it.
const MARKER: &str = "hunter2marker";

/// Loads a configuration with these sections; `a.token`, `b.token` and `same.token` hold tokens.
fn load(sections: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let file = path("pgdumpd.toml");
    let text = format!(
        "[queue]\nurl = \"postgres://q@db/queue\"\n[targets.app]\nurl = \"postgres://b@db/app\"\n[storages.s]\npath = \"/srv\"\n{sections}\n"
    );
    std::fs::write(&file, text).unwrap();
    for (name, content) in [
        (
            "a.token",
            format!("{MARKER}-a-0123456789abcdef0123456789\n"),
        ),
        (
            "b.token",
            format!("{MARKER}-b-0123456789abcdef0123456789\n"),
        ),
        (
            "same.token",
            format!("{MARKER}-a-0123456789abcdef0123456789"),
        ),
        ("short.token", MARKER.to_owned()),
        (
            "space.token",
            format!("{MARKER} with spaces and more than 32 characters"),
        ),
        ("http.crt", String::new()),
        ("http.key", String::new()),
    ] {
        std::fs::write(path(name), content).unwrap();
    }
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = Config::load(&Sources {
        file: Some(file),
        default_file: PathBuf::new(),
        variables: variables.collect(),
    });
    if let Ok(loaded) = &loaded {
        let shown = format!("{}{loaded:?}", loaded.describe());
        assert!(!shown.contains(MARKER), "{shown}");
    }
    loaded.map_err(|error| {
        let error = error.to_string();
        assert!(!error.contains(MARKER), "{error}");
        error
    })
}

fn http(sections: &str) -> HttpConfig {
    let loaded = load(sections, &[]).unwrap_or_else(|error| panic!("{error}"));
    loaded.config.http
}

/// A token section.
fn token(name: &str, file: &str) -> String {
    format!("[http_tokens.{name}]\nfile = \"{file}\"\nscopes = [\"read\"]\ntargets = [\"*\"]\n")
}

#[test]
fn nothing_listens_unless_an_address_is_set() {
    let config = http("");
    assert_eq!(config.listen, None);
    assert!(config.tokens.is_empty() && config.origins.is_empty() && config.tls.is_none());
    assert_eq!(config.limits.header_timeout, Duration::from_secs(10));
    assert_eq!(
        (config.limits.connections, config.limits.streams),
        (1200, 1000)
    );
    let config = http("[http]\nlisten = \"127.0.0.1:8686\"");
    assert_eq!(
        config.listen,
        Some(Listen::Tcp("127.0.0.1:8686".parse().unwrap()))
    );
    let config = http("[http]\nlisten = \"unix:/run/pgdumpd/http.sock\"\nsocket_mode = \"0600\"");
    let socket = PathBuf::from("/run/pgdumpd/http.sock");
    assert_eq!(
        (config.listen, config.socket_mode),
        (Some(Listen::Unix(socket)), 0o600)
    );
}

#[test]
fn a_token_has_its_file_scopes_and_targets_also_from_variables() {
    let sections = format!(
        "{}[http_tokens.b]\nfile = \"b.token\"\nscopes = [\"enqueue\", \"cancel\"]\ntargets = [\"app\"]\n",
        token("a", "a.token")
    );
    let config = http(&sections);
    let (a, b) = (&config.tokens["a"], &config.tokens["b"]);
    assert_eq!(
        (a.scopes.as_slice(), &a.targets),
        ([Scope::Read].as_slice(), &None)
    );
    assert!(a.token.expose().starts_with(MARKER) && !a.token.expose().ends_with('\n'));
    assert_eq!(b.scopes, [Scope::Enqueue, Scope::Cancel]);
    assert_eq!(b.targets.as_deref(), Some(["app".to_owned()].as_slice()));
    let loaded = load(
        &token("a", "a.token"),
        &[
            ("PGDUMPD_HTTP__LISTEN", "[::1]:9"),
            ("PGDUMPD_HTTP_TOKENS__A__SCOPES", "read,admin"),
        ],
    );
    let config = loaded.unwrap().config.http;
    assert_eq!(config.tokens["a"].scopes, [Scope::Read, Scope::Admin]);
    assert_eq!(config.listen, Some(Listen::Tcp("[::1]:9".parse().unwrap())));
}

#[test]
fn beyond_this_machine_nothing_starts_without_tokens_and_tls() {
    let (one, tls) = (
        token("a", "a.token"),
        "certificate_file = \"http.crt\"\nkey_file = \"http.key\"\n",
    );
    let listen = |address: &str, more: &str| format!("[http]\nlisten = \"{address}\"\n{more}\n");
    for (sections, problem) in [
        (listen("0.0.0.0:8686", ""), Some("so it needs tokens")),
        (listen("0.0.0.0:8686", tls), Some("so it needs tokens")),
        (listen("0.0.0.0:8686", "") + &one, Some("so it needs TLS")),
        (listen("[::]:8686", "") + &one, Some("so it needs TLS")),
        (
            listen("10.0.0.1:8686", "behind_proxy = true"),
            Some("so it needs tokens"),
        ),
        (
            listen("127.0.0.1:8686", "behind_proxy = true"),
            Some("so it needs tokens"),
        ),
        (
            listen("unix:/run/s", "socket_mode = \"0666\""),
            Some("so it needs tokens"),
        ),
        (listen("0.0.0.0:8686", tls) + &one, None),
        (listen("0.0.0.0:8686", "behind_proxy = true\n") + &one, None),
        (
            listen("127.0.0.1:8686", "behind_proxy = true\n") + &one,
            None,
        ),
        (
            listen("unix:/run/s", "socket_mode = \"0666\"\n") + &one,
            None,
        ),
        (listen("127.8.8.8:8686", ""), None),
        (listen("[::1]:8686", ""), None),
    ] {
        let loaded = load(&sections, &[]);
        match problem {
            None => assert!(loaded.is_ok(), "{sections}{loaded:?}"),
            Some(problem) => {
                let error = loaded.unwrap_err();
                assert!(error.contains("http.listen"), "{error}");
                assert!(error.contains(problem), "{sections}{error}");
            }
        }
    }
}

#[test]
fn each_mistake_is_named_and_no_token_is_shown() {
    let of_token = |line: &str| {
        let lines = [
            "file = \"a.token\"",
            "scopes = [\"read\"]",
            "targets = [\"*\"]",
        ];
        let key = line.split(' ').next().unwrap_or_default();
        let kept = lines.iter().filter(|other| !other.starts_with(key));
        let kept: Vec<&str> = kept.copied().collect();
        format!("[http_tokens.x]\n{line}\n{}\n", kept.join("\n"))
    };
    for (sections, names) in [
        (
            "[http]\nlisten = \"localhost:8686\"".to_owned(),
            "is not an address with a port",
        ),
        (
            "[http]\nlisten = \"8686\"".to_owned(),
            "is not an address with a port",
        ),
        (
            "[http]\nlisten = \"unix:http.sock\"".to_owned(),
            "has no absolute path",
        ),
        ("[http]\nsocket_mode = \"rw\"".to_owned(), "is not a mode"),
        ("[http]\nsocket_mode = \"1777\"".to_owned(), "is not a mode"),
        (
            "[http]\nkey_file = \"http.key\"".to_owned(),
            "needs certificate_file beside it",
        ),
        (
            "[http]\ncertificate_file = \"absent\"\nkey_file = \"http.key\"".to_owned(),
            "cannot be read",
        ),
        ("[http]\norigins = [\"*\"]".to_owned(), "is not an origin"),
        (
            "[http]\norigins = [\"https://a.example/\"]".to_owned(),
            "is not an origin",
        ),
        ("[http]\nmax_streams = -1".to_owned(), "http.max_streams"),
        (of_token("file = \"absent\""), "http_tokens.x.file"),
        (
            of_token("file = \"short.token\""),
            "32 to 512 visible ASCII characters",
        ),
        (
            of_token("file = \"space.token\""),
            "32 to 512 visible ASCII characters",
        ),
        (of_token("scopes = [\"write\"]"), "\"write\" is not a scope"),
        (of_token("scopes = []"), "http_tokens.x.scopes"),
        (of_token("targets = []"), "http_tokens.x.targets"),
        (of_token("token = \"hunter2marker\""), "unknown key"),
        (
            token("a", "a.token") + &token("b", "same.token"),
            "is the same token as that of \"a\"",
        ),
    ] {
        let error = load(&sections, &[]).unwrap_err();
        assert!(error.contains(names), "{sections}: {error}");
    }
}

use sqlx::postgres::PgSslMode;

use super::*;

/// No part of any output may contain it.
const MARKER: &str = "hunter2marker";

fn parse(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap()
}

fn refusal(text: &str) -> String {
    DatabaseUrl::parse(text).unwrap_err().to_string()
}

fn environment(url: &DatabaseUrl, name: &str) -> Option<String> {
    let found = url.libpq_environment();
    found.into_iter().find(|(n, _)| *n == name).map(|(_, v)| v)
}

#[test]
fn every_part_of_an_address_is_read() {
    let url = parse("postgresql://al%20ice:s%3Acret@db.example:5433/app%2Fone?connect_timeout=7");
    assert_eq!(url.user(), "al ice");
    assert_eq!(url.password().unwrap().expose_secret(), "s:cret");
    assert_eq!(url.host(), "db.example");
    assert_eq!(url.port(), 5433);
    assert_eq!(url.database(), "app/one");
    assert_eq!(url.connect_timeout(), Duration::from_secs(7));
}

#[test]
fn what_is_left_out_is_as_libpq_has_it() {
    let url = parse("postgres://alice@db");
    assert_eq!(url.port(), 5432);
    assert_eq!(url.database(), "alice");
    assert!(url.password().is_none());
    let url = parse("postgres:///app");
    assert!(!url.user().is_empty());
    assert!(!url.host().is_empty());
    assert_eq!(url.database(), "app");
}

#[test]
fn a_socket_directory_is_taken_encoded_or_as_a_parameter() {
    for text in [
        "postgres://alice@%2Frun%2Fpg:6000/app",
        "postgres://alice@/app?host=/run/pg&port=6000",
        "postgres:///?host=%2Frun%2Fpg&port=6000&user=alice&dbname=app",
    ] {
        let url = parse(text);
        assert_eq!(url.to_string(), "postgres://alice@%2Frun%2Fpg:6000/app");
        assert_eq!(environment(&url, "PGHOST").unwrap(), "/run/pg");
    }
}

#[test]
fn an_ipv6_host_keeps_its_brackets_outside() {
    let url = parse("postgres://alice@[::1]:5433/app");
    assert_eq!(url.host(), "::1");
    assert_eq!(url.to_string(), "postgres://alice@[::1]:5433/app");
    assert_eq!(parse(&url.to_string()), url);
}

#[test]
fn what_is_displayed_parses_to_the_same_place() {
    for text in [
        "postgres://alice@db/app?sslmode=require",
        "postgres://al%40ice@%2Ftmp:7/na%2Fme%3F",
    ] {
        assert_eq!(parse(&parse(text).to_string()), parse(text), "{text}");
    }
}

#[test]
fn a_password_is_never_displayed() {
    let url = parse(&format!("postgres://alice:{MARKER}@db/app"));
    let shown = format!("{url} {url:?} {:?}", url.libpq_environment());
    assert!(!shown.contains(MARKER), "{shown}");
    assert_eq!(url.password().unwrap().expose_secret(), MARKER);
}

#[test]
fn no_error_contains_a_piece_of_the_address() {
    for text in [
        format!("mysql://alice:{MARKER}@db/app"),
        format!("host=db password={MARKER}"),
        format!("postgres://alice:{MARKER}/x@db/app"),
        format!("postgres://alice:x/{MARKER}@db/app"),
        format!("postgres://alice:1234/{MARKER}@db"),
        format!("postgres://alice:x@{MARKER}@db/app"),
        format!("postgres://alice:%{MARKER}@db/app"),
        format!("postgres://alice:{MARKER}%FF@db/app"),
        format!("postgres://alice:{MARKER}%0A@db/app"),
        format!("postgres://db/app?{MARKER}"),
        format!("postgres://db/app?sslmode={MARKER}"),
        format!("postgres://db/app?sslcert={MARKER}"),
        format!("postgres://db/app?port={MARKER}"),
        format!("postgres://db/app?sslpassword={MARKER}"),
        format!("postgres://db/app?{}=1", MARKER.to_uppercase()),
        format!("postgres://alice:{MARKER}@db/app?password={MARKER}"),
        format!("postgres://{MARKER} /app"),
    ] {
        let error = refusal(&text).to_lowercase();
        assert!(!error.contains(MARKER), "{text}: {error}");
    }
}

#[test]
fn an_unknown_parameter_is_named_with_those_allowed() {
    insta::assert_snapshot!(refusal("postgres://db/app?sslmod=require"), @r#"the parameter "sslmod" is unknown: allowed are host, port, user, password, dbname, connect_timeout, sslmode, sslrootcert, sslcert, sslkey"#);
}

#[test]
fn what_hosters_and_other_programs_write_is_ignored_and_said() {
    for (query, ignored) in [
        (
            "sslmode=require&channel_binding=require",
            vec!["channel_binding"],
        ),
        ("schema=public", vec!["schema"]),
        (
            "pgbouncer=true&connection_limit=1",
            vec!["pgbouncer", "connection_limit"],
        ),
        (
            "application_name=web&options=-csearch_path=x",
            vec!["application_name", "options"],
        ),
        ("sslmode=no-verify", vec![]),
        ("connect_timeout=0", vec![]),
    ] {
        let url = parse(&format!("postgres://alice:{MARKER}@db.example/app?{query}"));
        let found: Vec<&str> = url.ignored().map(|(name, _)| name).collect();
        assert_eq!(found, ignored, "{query}");
        assert!(url.ignored().all(|(_, reason)| !reason.is_empty()));
    }
    let url = parse("postgres://db/app?sslmode=no-verify");
    assert_eq!(environment(&url, "PGSSLMODE").unwrap(), "require");
    assert_eq!(
        parse("postgres://db/app?connect_timeout=0").connect_timeout(),
        Duration::from_secs(10)
    );
    assert_eq!(
        parse("postgres://db/app?connect_timeout=1").connect_timeout(),
        Duration::from_secs(2)
    );
}

#[test]
fn the_systems_authorities_are_found_and_always_verified() {
    let url = parse("postgres://db.example/app?sslrootcert=system");
    assert_eq!(environment(&url, "PGSSLMODE").unwrap(), "verify-full");
    assert!(
        environment(&url, "PGSSLROOTCERT")
            .unwrap()
            .starts_with("/etc/")
    );
    let weak = refusal("postgres://db.example/app?sslrootcert=system&sslmode=require");
    assert!(weak.contains("needs sslmode=verify-full"), "{weak}");
}

#[test]
fn an_address_without_a_user_is_the_systems_users() {
    // nextest gives each test a process, so nobody else reads the environment.
    let url = parse("postgres:///");
    assert_ne!(url.user(), "anonymous");
    assert_eq!(url.database(), url.user());
    let system = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    if std::env::var_os("PGUSER").is_none() {
        assert_eq!(url.user(), String::from_utf8(system.stdout).unwrap().trim());
    }
}

#[test]
fn a_file_that_tls_needs_and_that_cannot_serve_is_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let missing = parse(&format!(
        "postgres://db/app?sslmode=verify-full&sslrootcert={}",
        path("ca.crt")
    ));
    let error = missing.check_tls_files().unwrap_err();
    assert!(
        error.contains("sslrootcert") && error.contains("ca.crt cannot be read"),
        "{error}"
    );
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("client.crt", "-----BEGIN CERTIFICATE-----\n");
    write("client.key", "-----BEGIN PRIVATE KEY-----\n");
    let key = std::fs::File::open(path("client.key")).unwrap();
    let allow = |mode| {
        key.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap()
    };
    let query = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        path("client.crt"),
        path("client.key")
    );
    let client = parse(&format!("postgres://db/app?{query}"));
    allow(0o644);
    let error = client.check_tls_files().unwrap_err();
    assert!(
        error.contains("sslkey") && error.contains("may be read by others (mode 644)"),
        "{error}"
    );
    allow(0o600);
    client.check_tls_files().unwrap();
    for (name, text, reason) in [
        (
            "client.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
            "passphrase",
        ),
        ("client.key", "x", "client.key holds no private key"),
        ("client.crt", "x", "client.crt holds no certificate"),
    ] {
        write(name, text);
        let error = client.check_tls_files().unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    // Not used at all.
    parse(&format!(
        "postgres://db/app?sslmode=disable&sslrootcert={}",
        path("ca.crt")
    ))
    .check_tls_files()
    .unwrap();
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    for (text, reason) in [
        ("postgres://db:0/app", "port is not a number from 1"),
        ("postgres://db:70000/app", "port is not a number from 1"),
        ("postgres://a,b/app", "several hosts"),
        ("postgres://db/app?host=other", "the host is given twice"),
        ("postgres://[::1/app", "without its \"]\""),
        ("postgres://[::1]x/app", "neither"),
        ("postgres://db/app?sslmode=allow", "prefer or require"),
        ("postgres://db/app?sslmode=verify-full", "needs sslrootcert"),
        (
            "postgres://db/app?sslrootcert=ca.crt",
            "not an absolute path",
        ),
        ("postgres://db/app?sslcert=/c.pem", "must be given together"),
        ("postgres://db/app?connect_timeout=-1", "from 0 to 3600"),
        ("postgres://db/a?dbname=b", "the dbname is given twice"),
    ] {
        let error = refusal(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
    let long = format!("postgres:///app?host=/{}", "d".repeat(100));
    assert!(refusal(&long).contains("107"), "{}", refusal(&long));
}

#[test]
fn a_password_file_line_escapes_its_separators() {
    let url = parse(r"postgres://alice:a%3Ab%5Cc%2A@db/app");
    let line = url.password_file_line().unwrap();
    assert_eq!(line.expose_secret(), r"*:*:*:*:a\:b\\c*");
    assert!(parse("postgres://alice@db").password_file_line().is_none());
}

#[test]
fn libpq_is_kept_from_the_home_directory() {
    let url = parse("postgres://alice@db/app");
    for name in ["PGPASSFILE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"] {
        let path = environment(&url, name).unwrap();
        assert!(!std::path::Path::new(&path).exists(), "{name}={path}");
    }
    let url = url.with_password(SecretString::from("x"));
    assert_eq!(environment(&url, "PGPASSFILE"), None);
}

#[test]
fn both_dialects_mean_the_same_tls() {
    let ca = "sslrootcert=/ca.pem";
    for (host, query, libpq, sqlx) in [
        ("db", String::new(), "prefer", "Prefer"),
        ("db", "?sslmode=disable".into(), "disable", "Disable"),
        ("db", "?sslmode=require".into(), "require", "Require"),
        (
            "db",
            format!("?sslmode=require&{ca}"),
            "require",
            "VerifyCa",
        ),
        (
            "db",
            format!("?sslmode=verify-ca&{ca}"),
            "verify-ca",
            "VerifyCa",
        ),
        (
            "db",
            format!("?sslmode=verify-full&{ca}"),
            "verify-full",
            "VerifyFull",
        ),
        // A socket carries no TLS: libpq ignores sslmode there, sqlx would insist.
        ("%2Frun", "?sslmode=require".into(), "disable", "Disable"),
    ] {
        let url = parse(&format!("postgres://alice@{host}/app{query}"));
        assert_eq!(environment(&url, "PGSSLMODE").unwrap(), libpq, "{url}");
        let mode: PgSslMode = url.connect_options("test").get_ssl_mode();
        assert_eq!(format!("{mode:?}"), sqlx, "{url}");
    }
}

#[test]
fn both_dialects_name_the_same_database() {
    let url = parse("postgres://alice:x@db:5433/app").with_database("other");
    let options = url.connect_options("pgdumpd test");
    assert_eq!(options.get_host(), environment(&url, "PGHOST").unwrap());
    assert_eq!(
        options.get_port().to_string(),
        environment(&url, "PGPORT").unwrap()
    );
    assert_eq!(options.get_username(), environment(&url, "PGUSER").unwrap());
    assert_eq!(
        options.get_database().unwrap(),
        environment(&url, "PGDATABASE").unwrap()
    );
    assert_eq!(options.get_database(), Some("other"));
    assert_eq!(options.get_application_name(), Some("pgdumpd test"));
}

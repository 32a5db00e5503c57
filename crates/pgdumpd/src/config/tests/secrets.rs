//! Where secrets come from, and that none is shown.

use super::*;

#[test]
fn no_error_and_no_description_shows_a_secret() {
    for (name, value) in [
        ("PGDUMPD_QUEUE__URL", format!("postgres://q:{MARKER}/@db/q")),
        ("PGDUMPD_QUEUE__URL", MARKER.to_owned()),
        ("PGDUMPD_QUEUE__LISTEN_URL", format!("x://q:{MARKER}@db")),
        ("PGDUMPD_QUEUE__PASSWORD", format!("{MARKER}\nx")),
        ("PGDUMPD_QUEUE__PASWORD", MARKER.to_owned()),
        ("PGDUMPD_QUEUE_PASSWORD", MARKER.to_owned()),
        ("PGDUMPD_TARGETS__APP__PASSWORT", MARKER.to_owned()),
        ("PGDUMPD_TARGETS__APP__PASSWORD", format!("{MARKER}\t")),
    ] {
        Setup::file(SMALL).with(name, &value).refusal();
    }
    Setup::file(&format!("{SMALL}password = [\"{MARKER}\"]")).refusal();
    Setup::file(&format!("password = \"{MARKER}\"\n{SMALL}")).refusal();
    Setup::file(&format!("queue = \"{MARKER}\"")).refusal();

    let loaded = Setup::file(&format!("{SMALL}password = \"{MARKER}\""))
        .with("PGDUMPD_QUEUE__URL", &format!("postgres://q:{MARKER}@db/q"))
        .load();
    let shown = format!("{loaded:?}{}{}", loaded.describe(), loaded.describe_json());
    assert!(!shown.contains(MARKER), "{shown}");
    let password = loaded.config.queue.url.password().unwrap();
    assert_eq!(password.expose_secret(), MARKER);
}

#[test]
fn a_password_file_is_a_credential_or_lies_beside_the_configuration() {
    let setup = Setup::file(&format!("{SMALL}password_file = \"app.pw\""));
    setup.write("app.pw", "beside\n", 0o600);
    let loaded = setup.load();
    let password = |loaded: &Loaded| {
        let url = &loaded.config.targets["app"].url;
        url.password().unwrap().expose_secret().to_owned()
    };
    assert_eq!(password(&loaded), "beside");
    assert_eq!(loaded.warnings, [""; 0]);

    let credentials = TempDir::new().unwrap();
    std::fs::write(credentials.path().join("app.pw"), "credential").unwrap();
    let setup = setup.with(
        "CREDENTIALS_DIRECTORY",
        credentials.path().to_str().unwrap(),
    );
    assert_eq!(password(&setup.load()), "credential");
    // A unit that has credentials, but not this one.
    std::fs::remove_file(credentials.path().join("app.pw")).unwrap();
    assert_eq!(password(&setup.load()), "beside");
}

#[test]
fn a_url_may_come_from_a_file_too() {
    let text = SMALL.replace("url = \"postgres://b@db/app\"", "url_file = \"app.url\"");
    let setup = Setup::file(&text);
    setup.write("app.url", "postgres://b:secret@db/app\r\n", 0o400);
    assert_eq!(setup.load().config.targets["app"].url.database(), "app");
}

#[test]
fn a_secret_file_that_cannot_serve_is_refused() {
    let refusal = |name: &str, text: &str| {
        let setup = Setup::file(&format!("{SMALL}password_file = {name:?}"));
        setup.write("app.pw", text, 0o600);
        setup.refusal()
    };
    assert!(
        refusal("other", "x").contains("names a file in DIR that cannot be read: No such file")
    );
    assert!(refusal("", "x").contains("must name a file"));
    assert!(refusal("app.pw", "").contains("must be one line"));
    assert!(refusal("app.pw", &format!("{MARKER}\nx")).contains("must be one line"));
    assert!(refusal("app.pw", &"x".repeat(20_000)).contains("at most"));
}

#[test]
fn what_everybody_may_read_is_warned_of() {
    let setup = Setup::file(&format!("{SMALL}password_file = \"app.pw\""));
    setup.write("app.pw", "x", 0o644);
    let warnings = setup.load().warnings;
    assert!(
        warnings[0].contains("app.pw holds a secret"),
        "{warnings:?}"
    );

    let setup = Setup::file(&format!("{SMALL}password = \"x\""));
    assert_eq!(setup.load().warnings, [""; 0]);
    setup.write("pgdumpd.toml", &format!("{SMALL}password = \"x\""), 0o644);
    let warnings = setup.load().warnings;
    assert!(warnings[0].contains("contains a password"), "{warnings:?}");
}

#[test]
fn of_two_ways_to_give_a_secret_the_higher_layer_counts() {
    let text = format!("{SMALL}password_file = \"absent\"");
    let setup = Setup::file(&text).with("PGDUMPD_TARGETS__APP__PASSWORD", "inline");
    let loaded = setup.load();
    let password = loaded.config.targets["app"].url.password().unwrap();
    assert_eq!(password.expose_secret(), "inline");

    let both = format!("{text}\npassword = \"x\"");
    assert!(Setup::file(&both).refusal().contains("excludes password"));
    let twice = SMALL.replace("b@db", "b:x@db") + "password = \"y\"";
    assert!(Setup::file(&twice).refusal().contains("a password too"));
}

#[test]
fn a_secret_key_in_the_place_of_a_public_one_is_reported_and_not_shown() {
    let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    for line in [
        format!("encrypt_to = [\"{secret}\"]"),
        format!("encrypt_to = [[\"{secret}\"]]"),
        format!("manifest = \"{secret}\""),
    ] {
        let refusal = Setup::file(&format!("{SMALL}{line}")).refusal();
        assert!(!refusal.contains("GFPYYSJ"), "{refusal}");
        assert!(!line.starts_with("encrypt_to = [\"") || refusal.contains("is a secret key"));
    }
}

#[test]
fn an_address_with_a_password_is_never_quoted_back_whatever_key_it_stands_in() {
    let address = format!("postgres://joe:{MARKER}@db/app");
    let mut refused = 0;
    for key in keys::KEYS {
        let (section, name) = (key.section.replace('*', "app"), key.name);
        let section = if section == "storages.app" {
            "storages.local".to_owned()
        } else {
            section
        };
        for value in [format!("{address:?}"), format!("[{address:?}]")] {
            let lines: Vec<_> = SMALL
                .lines()
                .scan(String::new(), |within, line| {
                    if line.starts_with('[') {
                        line.clone_into(within);
                    }
                    let is_it =
                        *within == format!("[{section}]") && line.starts_with(&format!("{name} ="));
                    Some((!is_it).then(|| line.to_owned()))
                })
                .flatten()
                .collect();
            let mut text = lines.join("\n");
            let header = format!("[{section}]");
            match text.find(&header) {
                Some(at) => text.insert_str(at + header.len(), &format!("\n{name} = {value}")),
                None => text.push_str(&format!("\n{header}\n{name} = {value}")),
            }
            match Config::load(&Setup::file(&text).sources) {
                Ok(loaded) => {
                    let shown = format!("{}{}", loaded.describe(), loaded.describe_json());
                    assert!(!shown.contains(MARKER), "{name}: {shown}");
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().contains(MARKER), "{name}: {error}");
                }
            }
        }
    }
    assert!(refused > 30, "{refused}");
    let named = format!("{SMALL}[targets.{address:?}]\nurl = 1");
    Setup::file(&named).refusal();
}

#[test]
fn a_password_in_the_place_of_its_files_name_is_not_quoted_back() {
    for key in ["password_file", "url_file"] {
        let text = format!("{SMALL}{key} = \"{MARKER}\"").replace(
            "url = \"postgres://b@db/app\"\n",
            if key == "url_file" {
                ""
            } else {
                "url = \"postgres://b@db/app\"\n"
            },
        );
        let refusal = Setup::file(&text).refusal();
        assert!(refusal.contains("may be the secret itself"), "{refusal}");
    }
}

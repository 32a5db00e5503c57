//! Receivers as the configuration may write them, and what does not start.

use tempfile::TempDir;

use super::*;

/// No part of any output may contain it.
const MARKER: &str = "hunter2marker";

/// Loads a configuration with these sections; `ops.url`, `ops.secret` and `short.secret` are there.
fn load(sections: &str) -> Result<Loaded, String> {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = format!(
        "[queue]\nurl = \"postgres://q@db/queue\"\n[targets.app]\nurl = \"postgres://b@db/app\"\n[storages.s]\npath = \"/srv\"\n{sections}\n"
    );
    std::fs::write(path("pgdumpd.toml"), text).unwrap();
    for (name, content) in [
        ("ops.url", format!("https://hooks.example.com/{MARKER}\n")),
        ("ops.secret", format!("{MARKER}0123456789")),
        ("short.secret", MARKER.to_owned()),
    ] {
        std::fs::write(path(name), content).unwrap();
    }
    let loaded = Config::load(&Sources {
        file: Some(path("pgdumpd.toml")),
        default_file: PathBuf::new(),
        variables: BTreeMap::new(),
    });
    let shown = match &loaded {
        Ok(loaded) => format!("{}{loaded:?}", loaded.describe()),
        Err(error) => error.to_string(),
    };
    assert!(!shown.contains(MARKER), "{shown}");
    loaded.map_err(|_| shown)
}

#[test]
fn a_receiver_wants_by_default_what_people_want_to_know() {
    let loaded = load(
        "[notify.ops]\nurl_file = \"ops.url\"\nsecret_file = \"ops.secret\"\ntargets = [\"app\"]\n[notify.hc]\nurl = \"https://hc.example.com/x\"\nformat = \"healthchecks\"\ntargets = [\"*\"]",
    );
    let receivers = loaded.unwrap().config.notify;
    let words = |name: &str| {
        let events = receivers[name].events.iter();
        events.map(|event| event.word()).collect::<Vec<_>>()
    };
    let wanted = [
        "failed",
        "recovered",
        "overdue",
        "copy_failed",
        "damaged",
        "check_failed",
    ];
    assert_eq!(words("ops"), wanted);
    assert_eq!(words("hc"), ["started", "succeeded", "failed"]);
    let ops = &receivers["ops"];
    assert_eq!(
        ops.url.expose(),
        format!("https://hooks.example.com/{MARKER}")
    );
    assert!(matches!(&ops.form, NotifyForm::Json { secret: Some(_) }));
    assert_eq!(ops.targets.as_deref(), Some(&["app".to_owned()][..]));
    assert_eq!(receivers["hc"].targets, None);
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mail = "[notify.x]\nformat = \"email\"\n";
    for (section, why) in [
        ("[notify.x]".to_owned(), "notify.x.url: is missing"),
        (
            format!("[notify.x]\nurl = \"smtps://{MARKER}\""),
            "begins with https:// or http://",
        ),
        (
            format!("[notify.x]\nurl = \"{MARKER}\""),
            "begins with https:// or http://",
        ),
        (
            format!("{mail}url = \"https://{MARKER}\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]"),
            "begins with smtps:// or smtp://",
        ),
        (
            format!("{mail}url = \"smtps://m\""),
            "a mail needs addresses",
        ),
        (
            format!("{mail}url = \"smtps://m\"\nfrom = \"a@b.c\"\nto = [\"nobody\"]"),
            "\"nobody\" is not a mail address",
        ),
        (
            format!("{mail}url = \"smtps://m\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]\nuser = \"u\""),
            "need each other",
        ),
        (
            "[notify.x]\nurl = \"https://x\"\nto = [\"a@b.c\"]".to_owned(),
            "has no meaning without format = \"email\"",
        ),
        (
            "[notify.x]\nurl = \"https://x\"\nformat = \"slack\"\nsecret_file = \"ops.secret\""
                .to_owned(),
            "has no meaning without format = \"json\"",
        ),
        (
            "[notify.x]\nurl = \"https://x\"\nsecret_file = \"short.secret\"".to_owned(),
            "at least 16 characters",
        ),
        (
            "[notify.x]\nurl = \"https://x\"\nevents = [\"fail\"]".to_owned(),
            "\"fail\" is not an event that can be sent there",
        ),
        (
            "[notify.x]\nurl = \"https://x\"\nformat = \"healthchecks\"\nevents = [\"overdue\"]"
                .to_owned(),
            "known are started, succeeded, failed",
        ),
        (
            "[notify.x]\nurl = \"https://x\"\nformat = \"pager\"".to_owned(),
            "one of json, slack",
        ),
    ] {
        let refused = load(&section).unwrap_err();
        assert!(refused.contains(why), "{section}: {refused}");
    }
}

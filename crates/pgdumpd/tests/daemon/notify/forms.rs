//! What each service is sent, held against what the service documents, and our own form against docs/MONITORING.md.

use std::path::Path;
use std::process::Command;

use pgdumpd_testkit::python;
use serde_json::{Value, json};

use super::inbox::{Inbox, Posted, fail, set_receiver, settled};
use crate::harness::{World, quoted};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/MONITORING.md");
    std::fs::read_to_string(path).unwrap()
}

/// The first block of the document in this language that has this text.
fn block(language: &str, with: &str) -> String {
    let document = document();
    let fence = format!("```{language}\n");
    let blocks = document.split(&fence).skip(1);
    let mut blocks = blocks.map(|rest| rest.split("\n```").next().unwrap());
    let found = blocks.find(|block| block.contains(with));
    assert!(found.is_some(), "no {language} with {with}");
    found.unwrap().to_owned()
}

/// A failed backup of a target with a hostile name, told in this form.
async fn told(format: &str) -> Posted {
    let inbox = Inbox::new().await;
    let mut world = World::new().await;
    set_receiver(&mut world, "ops", &inbox.url(), format);
    if format == "json" {
        let file = world.dir.path().join("ops.secret");
        std::fs::write(&file, SECRET).unwrap();
        world.set(
            "notify.ops",
            "secret_file",
            quoted(&file.display().to_string()),
        );
    }
    world.set("notify.ops", "events", r#"["failed"]"#);
    let _daemon = world.daemon().await;
    fail(&world).await;
    let posted = inbox.wait_for(1).await.remove(0);
    settled(&world).await;
    posted
}

/// Whether two documents have the same fields of the same types.
fn assert_same_shape(documented: &Value, sent: &Value, at: &str) {
    match (documented, sent) {
        (Value::Object(documented), Value::Object(sent)) => {
            let keys = |object: &serde_json::Map<String, Value>| {
                object
                    .keys()
                    .cloned()
                    .collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(keys(documented), keys(sent), "{at}");
            for (key, value) in documented {
                assert_same_shape(value, &sent[key], &format!("{at}.{key}"));
            }
        }
        _ => assert_eq!(
            std::mem::discriminant(documented),
            std::mem::discriminant(sent),
            "{at}: {sent}"
        ),
    }
}

#[tokio::test]
async fn the_json_is_as_documented_and_the_documented_recipes_verify_its_signature() {
    let posted = told("json").await;
    let documented: Value = serde_json::from_str(&block("json", "\"happened_at\"")).unwrap();
    let sent = posted.json();
    assert_same_shape(&documented, &sent, "message");
    for same in [
        "/event",
        "/title",
        "/target",
        "/details/attempt",
        "/details/code",
        "/details/step",
    ] {
        assert_eq!(documented.pointer(same), sent.pointer(same), "{same}");
    }
    assert_eq!(posted.headers["content-type"], "application/json");

    let dir = tempfile::TempDir::new().unwrap();
    let verifies = |body: &[u8], signature: &str| {
        std::fs::write(dir.path().join("body.json"), body).unwrap();
        let shell = Command::new("sh")
            .args(["-e", "-c", &block("sh", "# verify")])
            .current_dir(dir.path())
            .env("ID", &posted.headers["webhook-id"])
            .env("TIMESTAMP", &posted.headers["webhook-timestamp"])
            .env("SIGNATURE", signature)
            .env("SECRET", SECRET)
            .status();
        let call = "import json, sys\nheaders = json.loads(sys.argv[1])\nbody = open('body.json', 'rb').read()\nsys.exit(0 if is_genuine(headers, body, sys.argv[2].encode()) else 1)";
        let mut headers = posted.headers.clone();
        headers.insert("webhook-signature".to_owned(), signature.to_owned());
        let python = Command::new(python())
            .args(["-c", &format!("{}\n{call}", block("python", "# verify"))])
            .args([json!(headers).to_string(), SECRET.to_owned()])
            .current_dir(dir.path())
            .status();
        (shell.unwrap().success(), python.unwrap().success())
    };
    let signature = &posted.headers["webhook-signature"];
    assert_eq!(verifies(&posted.body, signature), (true, true));
    let mut changed = posted.body.clone();
    changed[10] ^= 1;
    assert_eq!(verifies(&changed, signature), (false, false));
    assert_eq!(verifies(&posted.body, "v1,AAAA"), (false, false));
}

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/>: `text` is what is required; a text has at most
/// 40,000 characters, and `&`, `<`, `>` are escaped.
#[tokio::test]
async fn slack_gets_an_escaped_text() {
    let sent = told("slack").await.json();
    assert_eq!(
        sent.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["text"]
    );
    let text = sent["text"].as_str().unwrap();
    assert!(
        text.starts_with(":red_circle: a backup of shop failed\n"),
        "{text}"
    );
    assert!(text.len() < 40_000 && !text.contains(['<', '>']), "{text}");
    assert!(text.contains("nothing_matched"), "{text}");
}

/// <https://docs.discord.com/developers/resources/webhook#execute-webhook>: `content` has 1 to 2000 characters;
/// `allowed_mentions.parse` is a list of what may be mentioned.
#[tokio::test]
async fn discord_gets_a_content_that_mentions_nobody() {
    let sent = told("discord").await.json();
    assert_eq!(sent["allowed_mentions"], json!({"parse": []}));
    assert_eq!(sent.as_object().unwrap().len(), 2);
    let content = sent["content"].as_str().unwrap();
    assert!((1..=2000).contains(&content.chars().count()), "{content}");
    assert!(content.contains("a backup of shop failed"), "{content}");
}

/// <https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook> and <https://adaptivecards.io/explorer/>: a message
/// with attachments, each an Adaptive Card whose elements have a known type.
#[tokio::test]
async fn teams_gets_an_adaptive_card() {
    let sent = told("teams").await.json();
    assert_eq!(sent["type"], "message");
    let attachments = sent["attachments"].as_array().unwrap();
    assert_eq!(attachments.len(), 1);
    assert_eq!(
        attachments[0]["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachments[0]["content"];
    assert_eq!(
        (&card["type"], &card["version"]),
        (&json!("AdaptiveCard"), &json!("1.4"))
    );
    assert_eq!(
        card["$schema"],
        "http://adaptivecards.io/schemas/adaptive-card.json"
    );
    let body = card["body"].as_array().unwrap();
    assert!(body.len() >= 2, "{card}");
    for element in body {
        assert_eq!(element["type"], "RichTextBlock", "{element}");
        for inline in element["inlines"].as_array().unwrap() {
            assert_eq!(inline["type"], "TextRun", "{inline}");
            assert!(inline["text"].is_string(), "{inline}");
        }
    }
    assert!(sent.to_string().len() < 28 * 1024);
}

/// <https://healthchecks.io/docs/http_api/>: `/start`, nothing and `/fail` after the address; `rid` is a UUID; the body is kept.
#[tokio::test(flavor = "multi_thread")]
async fn healthchecks_gets_a_start_and_then_success_or_failure() {
    let inbox = Inbox::new().await;
    let mut world = World::new().await;
    set_receiver(&mut world, "ops", &inbox.url(), "healthchecks");
    let _daemon = world.daemon().await;
    let good = world.back_up().await;
    let bad = fail(&world).await;
    let posted = inbox.wait_for(4).await;
    let paths: Vec<String> = posted.iter().map(|posted| posted.path.clone()).collect();
    let expected = [
        format!("/in/start?rid={good}"),
        format!("/in?rid={good}"),
        format!("/in/start?rid={bad}"),
        format!("/in/fail?rid={bad}"),
    ];
    assert_eq!(paths, expected);
    let why = String::from_utf8(posted[3].body.clone()).unwrap();
    assert!(
        why.contains("nothing_matched") && why.len() < 10_000,
        "{why}"
    );
    // A test says nothing of a backup.
    world.say(&["notify", "test", "ops"]).code(0);
    assert_eq!(inbox.wait_for(5).await[4].path, "/in/log");
}

//! The examples of docs/HTTP.md, run with curl as they stand there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use uuid::Uuid;

use super::face::{Face, set_token, token};
use crate::harness::World;

/// One command, the status that it is documented to have, and the answer if the page shows one.
struct Example {
    command: String,
    status: u16,
    answer: Option<Value>,
}

fn examples() -> Vec<Example> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/HTTP.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut examples: Vec<Example> = Vec::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        match language {
            "sh" => {
                for command in text.split("# ").skip(1) {
                    let (status, command) = command.split_once('\n').unwrap();
                    examples.push(Example {
                        command: command.to_owned(),
                        status: status.parse().unwrap(),
                        answer: None,
                    });
                }
            }
            "json" => {
                let answer = serde_json::from_str(text).unwrap();
                examples.last_mut().unwrap().answer = Some(answer);
            }
            _ => {}
        }
    }
    examples
}

/// The same fields, and values of the same kind where both have one.
fn assert_same_shape(page: &Value, daemon: &Value, at: &str) {
    match (page, daemon) {
        (Value::Object(page), Value::Object(daemon)) => {
            let keys = |map: &serde_json::Map<String, Value>| -> BTreeSet<String> {
                map.keys().cloned().collect()
            };
            assert_eq!(keys(page), keys(daemon), "{at}");
            for (key, value) in page {
                assert_same_shape(value, &daemon[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(page), Value::Array(daemon)) => {
            for (page, daemon) in page.iter().zip(daemon) {
                assert_same_shape(page, daemon, at);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => assert_eq!(
            std::mem::discriminant(page),
            std::mem::discriminant(daemon),
            "{at}: {page} and {daemon}"
        ),
    }
}

#[tokio::test]
async fn every_example_of_the_document_is_answered_as_the_document_says() {
    let mut world = World::new().await;
    set_token(
        &mut world,
        "shop",
        &["read", "enqueue", "cancel"],
        &["shop"],
    );
    let face = Face::of(world).await;
    let examples = examples();
    assert!(examples.len() > 10, "{}", examples.len());
    for Example {
        command,
        status,
        answer,
    } in examples
    {
        let command = command.replacen("curl", "curl -sS --max-time 60 -w '\\n%{http_code}'", 1);
        let (base, id) = (face.base.clone(), "0190b3a2-5f0c-7c3e-9d52-3f1c8f6a7b10");
        let shown = command.clone();
        // The daemon's log is read by this process, and its answer by curl: neither waits for the other.
        let output = tokio::task::spawn_blocking(move || {
            Command::new("sh")
                .args(["-c", &command])
                .env("DAEMON", base)
                .env("TOKEN", token("shop"))
                .env("ID", id)
                .stdin(Stdio::null())
                .output()
                .unwrap()
        });
        let output = output.await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{shown}{errors}");
        let (body, code) = text.rsplit_once('\n').unwrap();
        assert_eq!(code, status.to_string(), "{shown}{text}");
        if let Some(answer) = answer {
            let body: Value = serde_json::from_str(body).unwrap();
            assert_same_shape(&answer, &body, "");
        }
    }
    let id: Uuid = "0190b3a2-5f0c-7c3e-9d52-3f1c8f6a7b10".parse().unwrap();
    assert!(
        face.world.status(id).await.state.has_ended(),
        "it was followed to its end"
    );
}

//! Mail, to a real SMTP server.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use pgdumpd_testkit::{eventually, python};
use serde_json::Value;

use super::inbox::{fail, set_receiver};
use crate::harness::{SOON, World, quoted};

/// Writes its port, and then each mail that it takes from whoever knows the password.
const SERVER: &str = r#"
import json, socket, time
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

class Keeper:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.content.decode()}), flush=True)
        return "250 kept"

def knows(server, session, envelope, mechanism, data):
    # Not handled: the server says so itself.
    return AuthResult(success=(data.login, data.password) == (b"backup", b"open sesame"), handled=False)

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
controller = Controller(Keeper(), hostname="127.0.0.1", port=port, server_hostname="localhost", authenticator=knows, auth_required=True, auth_require_tls=False)
controller.start()
print(json.dumps({"port": port}), flush=True)
time.sleep(600)
"#;

struct Server {
    child: Child,
    said: Arc<Mutex<Vec<Value>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(python())
            .args(["-c", SERVER])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let keeping = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                keeping
                    .lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, said }
    }

    async fn said(&self, at: usize) -> Value {
        eventually("the mail server has said it", SOON, async || {
            self.said.lock().unwrap().get(at).cloned()
        })
        .await
    }
}

#[tokio::test]
async fn a_mail_arrives_with_its_addresses_its_subject_and_the_error() {
    let server = Server::start();
    let port = server.said(0).await["port"].as_u64().unwrap();
    let mut world = World::new().await;
    set_receiver(
        &mut world,
        "team",
        &format!("smtp://127.0.0.1:{port}"),
        "email",
    );
    let password = world.dir.path().join("mail.password");
    std::fs::write(&password, "wrong").unwrap();
    for (key, value) in [
        ("from", quoted("Backups <backup@example.com>")),
        (
            "to",
            r#"["ops@example.com", "Shop <shop@example.com>"]"#.to_owned(),
        ),
        ("user", quoted("backup")),
        ("password_file", quoted(&password.display().to_string())),
    ] {
        world.set("notify.team", key, value);
    }
    let said = world.say(&["notify", "test", "team"]).code(1);
    assert!(said.err.contains("535"), "{}", said.err);
    assert!(!said.err.contains("wrong"), "{}", said.err);
    std::fs::write(&password, "open sesame").unwrap();
    let said = world.say(&["notify", "test", "team"]).code(0);
    assert!(said.out.contains("250"), "{}", said.out);
    assert!(
        server.said(1).await["text"]
            .as_str()
            .unwrap()
            .contains("a test of pgdumpd")
    );

    let _daemon = world.daemon().await;
    let id = fail(&world).await;
    let mail = server.said(2).await;
    assert_eq!(mail["from"], "backup@example.com");
    assert_eq!(
        mail["to"],
        serde_json::json!(["ops@example.com", "shop@example.com"])
    );
    let text = mail["text"].as_str().unwrap();
    for part in [
        "Subject: pgdumpd: a backup of shop failed",
        "From: Backups <backup@example.com>",
        "@pgdumpd.invalid>",
        "nothing_matched",
        &id.to_string(),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

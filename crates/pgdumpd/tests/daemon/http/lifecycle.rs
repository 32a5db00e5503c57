//! The listener beside the daemon's work: a port that is taken, a reload, a shutdown, and what `check` reports.

use std::time::Duration;

use pgdumpd_testkit::eventually;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::face::{Face, address, set_token};
use crate::harness::{SOON, World, logged, quoted};

#[tokio::test]
async fn a_daemon_that_cannot_listen_says_why_and_takes_backups() {
    let mut world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    world.set("http", "listen", quoted(&address));
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let text = format!("cannot listen on {address} (http.listen)");
    assert!(logged(&daemon, "ERROR", &text), "{}", daemon.log());
    assert!(
        logged(&daemon, "ERROR", "listens on this port"),
        "{}",
        daemon.log()
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a_reload_takes_back_a_token_and_ends_its_streams() {
    let mut world = World::new().await;
    set_token(&mut world, "old", &["read", "enqueue"], &["*"]);
    set_token(&mut world, "kept", &["read", "enqueue"], &["*"]);
    let mut face = Face::of(world).await;
    let create = async |face: &Face, token: &str| {
        let request = face
            .post("/api/backup/create")
            .token(token)
            .json(&json!({"target": "nowhere"}));
        request.send().await
    };
    let id = create(&face, "old").await.status(202).id();
    let path = format!("/api/backup/events/{id}");
    let mut stream = face.get(&path).token("old").open().await;
    assert_eq!(stream.status(), 200);
    face.world.unset("http_tokens.old");
    let listened = face.daemon.log().matches("listening for requests").count();
    face.daemon.signal(Signal::HUP);
    eventually("it listens again", SOON, async || {
        let now = face.daemon.log().matches("listening for requests").count();
        (now > listened).then_some(())
    })
    .await;
    // Its connection is closed, so that it can ask nothing more over it.
    let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
    timeout(SOON, end).await.expect("the stream has ended");
    face.base = format!("http://{}", address(&face.daemon).await);
    create(&face, "old").await.problem(401, "unauthenticated");
    create(&face, "kept").await.status(202);
    face.daemon.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_is_not_held_up_by_slow_clients() {
    let world = World::new().await;
    let holder = world.hold_dumps().await;
    let face = Face::of(world).await;
    let id = face
        .create(json!({"target": "shop"}))
        .await
        .status(202)
        .id();
    let uuid = id.parse().unwrap();
    face.world
        .until(uuid, "it runs", |job| job.worker_id.is_some())
        .await;
    let path = format!("/api/backup/events/{id}");
    let mut stream = face.get(&path).open().await;
    assert_eq!(stream.status(), 200);
    let mut daemon = face.daemon;
    daemon.signal(Signal::TERM);
    // While it drains, its job can be followed, and whoever asks whether it is ready is told that it is not.
    let ready = format!("{}/readyz", face.base);
    eventually("it is not ready", SOON, async || {
        let answer = face.client.get(&ready).send().await.unwrap();
        (answer.status() == 503).then_some(())
    })
    .await;
    let status = format!("{}/api/backup/status/{id}", face.base);
    let running = face.client.get(&status).send().await.unwrap();
    assert!(running.text().await.unwrap().contains("\"running\""));
    daemon.signal(Signal::TERM);
    let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
    timeout(SOON, end).await.expect("the stream has ended");
    assert!(
        timeout(Duration::from_secs(30), daemon.exited())
            .await
            .unwrap(),
        "{}",
        daemon.log()
    );
    drop(holder);
}

#[tokio::test]
async fn check_reports_what_is_configured_and_whether_anybody_listens() {
    let mut world = World::new().await;
    set_token(&mut world, "one", &["read"], &["*"]);
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap().port()
    };
    world.set("http", "listen", quoted(&format!("127.0.0.1:{port}")));
    let before = world.say(&["check"]);
    let text = format!("http: nobody listens on 127.0.0.1:{port} (no TLS, 1 token)");
    assert!(before.out.contains(&text), "{}", before.out);
    let daemon = world.daemon().await;
    address(&daemon).await;
    let now = world.say(&["check"]);
    let text = format!("http: listening on 127.0.0.1:{port}, with no TLS, 1 token");
    assert!(now.out.contains(&text), "{}", now.out);
    let certificate = world.dir.path().join("http.crt");
    std::fs::write(&certificate, "nothing").unwrap();
    for key in ["certificate_file", "key_file"] {
        world.set("http", key, quoted(&certificate.display().to_string()));
    }
    let broken = world.say(&["check"]);
    assert_eq!(broken.code, Some(6), "{}", broken.out);
    assert!(
        broken.out.contains("has no certificate in PEM"),
        "{}",
        broken.out
    );
    daemon.stop().await;
}

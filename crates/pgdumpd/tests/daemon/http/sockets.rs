//! TLS, and unix sockets.

use std::os::unix::fs::PermissionsExt as _;

use pgdumpd_testkit::{Certificates, eventually};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::face::{Face, address, set_token};
use crate::harness::{SOON, World, quoted};

#[tokio::test]
async fn over_tls_the_daemon_shows_its_certificate_and_a_new_one_after_a_reload() {
    let made = Certificates::new();
    let (authority, other) = (made.authority("authority"), made.authority("other"));
    let server = made.signed(&authority, "server", "localhost", 30);
    let renewed = made.signed(&other, "renewed", "localhost", 30);
    let mut world = World::new().await;
    set_token(&mut world, "all", &["admin"], &["*"]);
    for (key, file) in [
        ("certificate_file", &server.file),
        ("key_file", &server.key),
    ] {
        world.set("http", key, quoted(&file.display().to_string()));
    }
    // Beyond loopback, which needs both tokens and TLS.
    let face = Face::of(world).await;
    let client = |authority: &std::path::Path| {
        let pem = std::fs::read(authority).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .build()
            .unwrap()
    };
    let url = |address: &str| {
        let port = address.rsplit_once(':').unwrap().1;
        format!("https://localhost:{port}/healthz")
    };
    let at = url(&face.base);
    let answer = client(&authority.file).get(&at).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    client(&other.file).get(&at).send().await.unwrap_err();
    // Without TLS nobody is answered.
    let plain = face
        .client
        .get(format!("{}/healthz", face.base))
        .send()
        .await;
    assert!(plain.is_err(), "{plain:?}");

    // A certificate that cannot be used changes nothing.
    std::fs::write(&server.file, "half a file").unwrap();
    face.daemon.signal(Signal::HUP);
    eventually("it was read", SOON, async || {
        let log = face.daemon.log();
        log.contains("HTTP cannot use its certificate")
            .then_some(())
    })
    .await;
    let answer = client(&authority.file).get(&at).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    // Renewed in place, as certbot does.
    std::fs::copy(&renewed.file, &server.file).unwrap();
    std::fs::copy(&renewed.key, &server.key).unwrap();
    face.daemon.signal(Signal::HUP);
    eventually("the new one is shown", SOON, async || {
        let at = url(&address(&face.daemon).await);
        client(&other.file).get(&at).send().await.ok()
    })
    .await;
    face.daemon.stop().await;
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_the_daemon_also_after_a_kill() {
    let mut world = World::new().await;
    let path = world.dir.path().join("http.sock");
    world.set(
        "http",
        "listen",
        quoted(&format!("unix:{}", path.display())),
    );
    world.set("http", "socket_mode", quoted("0640"));
    let ask = async || {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream
            .write_all(b"GET /api/backup HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    };
    let mut daemon = world.daemon().await;
    assert_eq!(address(&daemon).await, format!("unix:{}", path.display()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    ask().await;
    // Another daemon does not take the socket away.
    let other = world.daemon().await;
    eventually("it says so", SOON, async || {
        let log = other.log();
        log.contains("Another daemon listens on this socket")
            .then_some(())
    })
    .await;
    ask().await;
    other.stop().await;
    ask().await;
    daemon.kill();
    assert!(path.exists(), "a killed daemon leaves its file");
    let daemon = world.daemon().await;
    address(&daemon).await;
    ask().await;
    daemon.stop().await;
    assert!(!path.exists());
}

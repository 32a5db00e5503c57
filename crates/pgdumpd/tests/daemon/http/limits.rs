//! Slow, endless, oversized and malformed requests: each costs its own connection, and nothing else.

use std::time::{Duration, Instant};

use futures_util::stream;
use pgdumpd_testkit::eventually;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::face::{Face, set_token};
use crate::harness::{SOON, World, quoted};

/// A connection over which anything can be sent.
async fn connect(face: &Face) -> TcpStream {
    let address = face.base.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// What comes back until the daemon closes the connection.
async fn rest(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(SOON, connection.read_to_end(&mut bytes)).await;
    // A reset is an end, too.
    let _ = read.expect("the daemon closes the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_slow_header_and_an_idle_connection_end_after_header_timeout() {
    let mut world = World::new().await;
    world.set("http", "header_timeout", quoted("1s"));
    let face = Face::of(world).await;
    let mut slow = connect(&face).await;
    let mut idle = connect(&face).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc")
        .await
        .unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let began = Instant::now();
    let (slow, idle) = tokio::join!(rest(slow), rest(idle));
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert!(!slow.contains("200"), "{slow}");
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    face.get("/healthz").send().await.status(200);
}

#[tokio::test]
async fn as_many_slow_connections_as_are_allowed_keep_nobody_out_for_long() {
    let mut world = World::new().await;
    world.set("http", "header_timeout", quoted("1s"));
    world.set("http", "max_connections", "10");
    let face = Face::of(world).await;
    let mut held = Vec::new();
    for _ in 0..30 {
        let mut slow = connect(&face).await;
        slow.write_all(b"GET /").await.unwrap();
        held.push(slow);
    }
    let answer = timeout(SOON, face.get("/healthz").send()).await.unwrap();
    answer.status(200);
}

#[tokio::test]
async fn a_body_is_read_to_its_limit_and_no_further() {
    let face = Face::new().await;
    let path = "/api/backup/create";
    let large = json!({"target": "x".repeat(64 * 1024)}).to_string();
    face.post(path)
        .body(large)
        .send()
        .await
        .problem(413, "too-large");
    // Without a length, and without an end.
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 8192]));
    let body = reqwest::Body::wrap_stream(endless);
    match timeout(
        SOON,
        face.client
            .post(format!("{}{path}", face.base))
            .body(body)
            .send(),
    )
    .await
    {
        // The connection may break before the answer was read: the client is still sending.
        Ok(Ok(response)) => assert_eq!(response.status(), 413),
        Ok(Err(error)) => assert!(error.is_request() || error.is_body(), "{error}"),
        Err(_) => panic!("the daemon reads on and on"),
    }
    face.get("/healthz").send().await.status(200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_forever() {
    let face = Face::new().await;
    let mut slow = connect(&face).await;
    slow.write_all(
        b"POST /api/backup/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"tar",
    )
    .await
    .unwrap();
    let began = Instant::now();
    let answer = rest(slow).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("urn:pgdumpd:problem:too-slow"), "{answer}");
    assert!(
        began.elapsed() < Duration::from_secs(45),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn what_is_not_http_ends_its_own_connection() {
    let face = Face::new().await;
    let header = |name: &str, count: usize, length: usize| {
        let lines: String = (0..count)
            .map(|number| format!("{name}-{number}: {}\r\n", "x".repeat(length)))
            .collect();
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes()
    };
    for (what, sent, status) in [
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), "400"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), "400"),
        ("nonsense", vec![0xff; 1000], "400"),
        ("no version", b"GET /\r\n\r\n".to_vec(), "400"),
        ("many headers", header("a", 200, 1), "431"),
        ("a long header", header("a", 1, 100_000), "431"),
        (
            "a long target",
            format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(100_000)).into_bytes(),
            "414",
        ),
        (
            "two lengths",
            b"POST /api/backup/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"
                .to_vec(),
            "400",
        ),
        (
            "a chunk without a size",
            b"POST /api/backup/create HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"
                .to_vec(),
            "400",
        ),
    ] {
        let mut connection = connect(&face).await;
        // The daemon may close it while it is being sent.
        let _ = connection.write_all(&sent).await;
        let answer = rest(connection).await;
        let refused = [status, "400", "431", "414"]
            .iter()
            .any(|status| answer.starts_with(&format!("HTTP/1.1 {status}")));
        assert!(refused || answer.is_empty(), "{what}: {answer}");
    }
    face.get("/healthz").send().await.status(200);
    face.create(json!({"target": "nowhere"})).await.status(202);
}

#[tokio::test]
async fn each_token_may_ask_only_so_often_and_is_told_when_to_come_again() {
    let mut world = World::new().await;
    world.set("http", "requests_per_second", "5");
    set_token(&mut world, "busy", &["read"], &["*"]);
    set_token(&mut world, "calm", &["read"], &["*"]);
    let face = Face::of(world).await;
    let ask = async |token: &str| {
        let request = face.get("/api/backup/status/temp_1").token(token);
        request.send().await
    };
    let mut refused = None;
    for _ in 0..50 {
        let answer = ask("busy").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("fifty requests come faster than five a second");
    assert_eq!(refused.headers["retry-after"], "1");
    refused.problem(429, "too-many-requests");
    // Another token has its own.
    ask("calm").await.status(200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    ask("busy").await.status(200);
}

#[tokio::test]
async fn only_so_many_streams_are_open_and_one_that_ends_makes_room() {
    let mut world = World::new().await;
    world.set("http", "max_streams", "2");
    let face = Face::of(world).await;
    let id = face
        .create(json!({"target": "nowhere"}))
        .await
        .status(202)
        .id();
    let path = format!("/api/backup/events/{id}");
    let first = face.get(&path).open().await;
    let second = face.get(&path).open().await;
    assert_eq!(
        (first.status().as_u16(), second.status().as_u16()),
        (200, 200)
    );
    let refused = face.get(&path).send().await;
    assert_eq!(refused.headers["retry-after"], "30");
    refused.problem(503, "too-many-streams");
    face.status(&id).await.status(200);
    drop(first);
    eventually("a stream has become free", SOON, async || {
        let response = face.get(&path).open().await;
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn routes_and_methods_that_do_not_exist_are_problems_too() {
    let face = Face::new().await;
    for path in [
        "/none",
        "/api",
        "/api/backup/",
        "/api/backup/none",
        "/api/backup/status",
        "/../etc/passwd",
    ] {
        face.get(path).send().await.problem(404, "unknown-route");
    }
    for (method, path) in [
        ("DELETE", "/api/backup"),
        ("POST", "/api/backup/status/temp_1"),
        ("GET", "/api/backup/create"),
        ("PATCH", "/healthz"),
        ("OPTIONS", "/api/backup"),
    ] {
        let answer = face.request(method, path).send().await;
        assert!(
            answer.headers.contains_key("allow"),
            "{method} {path}: {answer:?}"
        );
        answer.problem(405, "wrong-method");
    }
    let head = face
        .request("HEAD", "/api/backup/status/temp_1")
        .open()
        .await;
    assert_eq!(head.status(), 200);
}

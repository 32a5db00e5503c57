//! Who may do what: scopes, targets, and pages of other sites.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::face::{Face, set_token, token};
use crate::harness::{World, quoted};

/// What every token may.
const ANY: &str = "any";

/// Every route that needs a token, with a job of this id, and the scope that it needs.
fn routes(id: &str) -> Vec<(&'static str, String, Option<Value>, &'static str)> {
    vec![
        (
            "POST",
            "/api/backup/create".to_owned(),
            Some(json!({"target": "nowhere"})),
            "enqueue",
        ),
        ("GET", format!("/api/backup/status/{id}"), None, "read"),
        ("GET", "/api/backup/status/temp_1".to_owned(), None, "read"),
        ("GET", format!("/api/backup/events/{id}"), None, "read"),
        ("GET", "/api/backup/events/temp_1".to_owned(), None, "read"),
        ("GET", "/api/backup/monitoring".to_owned(), None, "read"),
        ("GET", "/api/backup".to_owned(), None, "read"),
        ("GET", "/api/backup/overview".to_owned(), None, "read"),
        (
            "GET",
            "/api/backup/overview/events".to_owned(),
            None,
            "read",
        ),
        ("GET", "/api/backup/jobs".to_owned(), None, "read"),
        ("GET", format!("/api/backup/jobs/{id}"), None, "read"),
        ("GET", format!("/api/backup/jobs/{id}/tables"), None, "read"),
        ("GET", "/api/backup/daemons".to_owned(), None, "admin"),
        ("GET", "/api/backup/rights".to_owned(), None, ANY),
        ("POST", format!("/api/backup/cancel/{id}"), None, "cancel"),
        ("GET", "/metrics".to_owned(), None, "read"),
    ]
}

#[tokio::test]
async fn each_route_takes_only_a_token_with_its_scope() {
    let mut world = World::new().await;
    for scope in ["read", "enqueue", "cancel", "admin"] {
        set_token(&mut world, scope, &[scope], &["*"]);
    }
    set_token(&mut world, "two", &["read", "enqueue"], &["*"]);
    let face = Face::of(world).await;
    let created = face
        .post("/api/backup/create")
        .token("enqueue")
        .json(&json!({"target": "nowhere"}))
        .send()
        .await;
    let id = created.status(202).id();
    // Every route of the document is here, but those that need no token.
    let document = pgdumpd::http::document();
    let needs_token = |route: &Value| {
        route
            .as_object()
            .unwrap()
            .values()
            .any(|operation| operation["security"] != json!([{}]))
    };
    let paths = document["paths"].as_object().unwrap().iter();
    let documented: BTreeSet<String> = paths
        .filter(|(_, route)| needs_token(route))
        .map(|(path, _)| path.replace("{id}", "x"))
        .collect();
    let tested: BTreeSet<String> = routes("x")
        .into_iter()
        .map(|(_, path, ..)| path.replace("temp_1", "x"))
        .collect();
    assert_eq!(documented, tested);

    for (method, path, body, scope) in routes(&id) {
        let send = async |authorization: Option<String>| {
            let mut request = face.request(method, &path);
            if let Some(value) = authorization {
                request = request.header("authorization", &value);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            // A stream is not read: its status is what counts.
            let response = request.open().await;
            (response.status(), response.headers().clone())
        };
        for wrong in [
            None,
            Some("Bearer".to_owned()),
            Some("Bearer ".to_owned()),
            Some("Bearer x".to_owned()),
            Some(format!("Basic {}", token("admin"))),
            Some(token("admin")),
            Some(format!("Bearer {}x", token("admin"))),
            Some(format!("Bearer {}", &token("admin")[1..])),
        ] {
            let (status, headers) = send(wrong.clone()).await;
            assert_eq!(
                status,
                StatusCode::UNAUTHORIZED,
                "{method} {path} {wrong:?}"
            );
            assert_eq!(headers["www-authenticate"], "Bearer");
        }
        for name in ["read", "enqueue", "cancel", "admin", "two"] {
            let may = scope == ANY
                || name == scope
                || name == "admin"
                || (name == "two" && ["read", "enqueue"].contains(&scope));
            let (status, _) = send(Some(format!("Bearer {}", token(name)))).await;
            if may {
                assert!(status.is_success(), "{method} {path} {name}: {status}");
            } else {
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} {name}");
            }
        }
    }
    // Neither the tokens nor what was sent in their place is logged.
    let log = face.daemon.log();
    assert!(!log.contains("token-of-"), "a token is in the log");
}

#[tokio::test]
async fn a_token_of_one_target_learns_nothing_of_another() {
    let mut world = World::new().await;
    set_token(&mut world, "all", &["read", "enqueue", "cancel"], &["*"]);
    set_token(&mut world, "own", &["admin"], &["own"]);
    let face = Face::of(world).await;
    let create = async |token: &str, body: Value| {
        let request = face.post("/api/backup/create").token(token).json(&body);
        request.send().await
    };
    let secret = create("all", json!({"target": "secret"}))
        .await
        .status(202)
        .id();
    // Without `target`, it is the only one that the token has.
    let own = create("own", json!({})).await.status(202);
    assert_eq!(own.json()["target"], "own");
    let own = own.id();

    // What exists and what does not are answered with the same words.
    let absent = Uuid::new_v4().to_string();
    for (method, path) in [
        ("GET", "status/ID"),
        ("GET", "events/ID"),
        ("POST", "cancel/ID"),
        ("GET", "jobs/ID"),
        ("GET", "jobs/ID/tables"),
    ] {
        let answer = async |id: &str| {
            let path = format!("/api/backup/{}", path.replace("ID", id));
            let answer = face.request(method, &path).token("own").send().await;
            answer
                .problem(404, "unknown-backup")
                .to_string()
                .replace(id, "ID")
        };
        assert_eq!(answer(&secret).await, answer(&absent).await, "{path}");
    }
    let job = face.world.status(secret.parse().unwrap()).await;
    assert!(job.cancel_requested_at.is_none() && !job.state.has_ended());

    let refused = create("own", json!({"target": "secret"})).await;
    refused.problem(403, "forbidden");
    let ids = async |path: &str, list: &str| {
        let answer = face.get(path).token("own").send().await.status(200).json();
        let rows = answer[list].as_array().unwrap().clone();
        rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("/api/backup", "backups").await, [json!(own)]);
    assert_eq!(
        ids("/api/backup?target=secret", "backups").await,
        [json!(null); 0]
    );
    assert_eq!(
        ids("/api/backup?target=secret&target=own", "backups").await,
        [json!(own)]
    );
    assert_eq!(ids("/api/backup/monitoring", "backups").await, [json!(own)]);
    let monitoring = face.get("/api/backup/monitoring").token("own").send().await;
    assert!(!monitoring.text.contains("secret"), "{}", monitoring.text);
    assert!(!monitoring.text.contains("shop"), "{}", monitoring.text);
    assert_eq!(ids("/api/backup/jobs", "jobs").await, [json!(own)]);
    assert_eq!(
        ids("/api/backup/jobs?target=secret", "jobs").await,
        [json!(null); 0]
    );
    assert_eq!(ids("/api/backup/overview", "queued").await, [json!(own)]);
    let overview = face.get("/api/backup/overview").token("own").send().await;
    assert_eq!(overview.json()["queuedTotal"], 1);
    assert!(!overview.text.contains("secret"), "{}", overview.text);
    assert!(!overview.text.contains("shop"), "{}", overview.text);
    // A daemon serves more than these targets, and its checks name them.
    let daemons = face.get("/api/backup/daemons").token("own").send().await;
    daemons.problem(403, "forbidden");
    // A cursor of another's list leads to nothing of it.
    let of_all = face.get("/api/backup?limit=1").token("all").send().await;
    let next = of_all.json()["next"].as_str().unwrap().to_owned();
    let seen = ids(&format!("/api/backup?cursor={next}"), "backups").await;
    assert!(!seen.contains(&json!(secret)), "{seen:?}");

    // Another token's key means another backup, also where its target is the same.
    let keyed = async |token: &str, target: &str| {
        let request = face
            .post("/api/backup/create")
            .token(token)
            .header("idempotency-key", "nightly")
            .json(&json!({"target": target}));
        request.send().await.status(202).id()
    };
    assert_ne!(keyed("all", "own").await, keyed("own", "own").await);
}

#[tokio::test]
async fn only_an_admin_sees_which_daemon_runs_a_backup() {
    let mut world = World::new().await;
    let holder = world.hold_dumps().await;
    set_token(&mut world, "reader", &["read", "enqueue"], &["*"]);
    set_token(&mut world, "admin", &["admin"], &["*"]);
    let face = Face::of(world).await;
    let created = face
        .post("/api/backup/create")
        .token("reader")
        .json(&json!({"target": "shop"}))
        .send();
    let id = created.await.status(202).id();
    face.world
        .until(id.parse().unwrap(), "it runs", |job| {
            job.worker_id.is_some()
        })
        .await;
    let hosts = async |token: &str| {
        let answer = face.get("/api/backup/monitoring").token(token).send().await;
        let answer = answer.status(200).json();
        let backup = &answer["backups"][0];
        assert_eq!(backup["id"], id);
        ["workerId", "workerHost", "workerPid"].map(|key| backup[key].is_null())
    };
    assert_eq!(hosts("reader").await, [true; 3]);
    assert_eq!(hosts("admin").await, [false; 3]);
    drop(holder);
}

#[tokio::test]
async fn without_tokens_only_this_machine_and_no_page_of_another_site_may_ask() {
    let face = Face::new().await;
    let list = || face.get("/api/backup");
    list().send().await.status(200);
    list()
        .header("host", "localhost:8686")
        .send()
        .await
        .status(200);
    // A page whose host's name was made to lead here.
    let rebound = list().header("host", "evil.example.com:8686").send().await;
    rebound.problem(403, "cross-site");
    let foreign = list().header("sec-fetch-site", "cross-site").send().await;
    foreign.problem(403, "cross-site");
    let create = face
        .post("/api/backup/create")
        .header("sec-fetch-site", "cross-site")
        .json(&json!({"target": "shop"}));
    create.send().await.problem(403, "cross-site");
    list()
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .status(200);
}

#[tokio::test]
async fn only_pages_of_the_origins_that_are_named_may_ask_from_a_browser() {
    let mut world = World::new().await;
    world.set(
        "http",
        "origins",
        format!("[{}]", quoted("https://shop.example.com")),
    );
    let face = Face::with_a_token(world).await;
    let preflight = async |origin: &str| {
        let request = face
            .request("OPTIONS", "/api/backup/create")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            );
        request
            .send()
            .await
            .headers
            .get("access-control-allow-origin")
            .cloned()
    };
    let named = "https://shop.example.com";
    assert_eq!(preflight(named).await.as_deref(), Some(named));
    assert_eq!(preflight("https://evil.example.com").await, None);
    let create = async |origin: &str| {
        let request = face
            .post("/api/backup/create")
            .token("all")
            .header("origin", origin)
            .header("sec-fetch-site", "cross-site")
            .json(&json!({"target": "nowhere"}));
        request.send().await
    };
    let allowed = create(named).await.status(202);
    assert_eq!(allowed.headers["access-control-allow-origin"], named);
    assert!(allowed.headers["access-control-expose-headers"].contains("location"));
    create("https://evil.example.com")
        .await
        .problem(403, "cross-site");

    let face = Face::with_a_token(World::new().await).await;
    let answer = face
        .get("/api/backup")
        .token("all")
        .header("origin", named)
        .send()
        .await;
    assert!(
        !answer.headers.contains_key("access-control-allow-origin"),
        "off unless named"
    );
}

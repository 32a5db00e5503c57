//! What each route does.

use pgdumpd_testkit::{FakePgDump, Proxy, Then, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use super::face::{Face, set_token};
use crate::harness::{SOON, World, quoted};

#[tokio::test]
async fn a_backup_is_asked_for_followed_and_found_in_the_history() {
    let face = Face::new().await;
    face.world
        .shop
        .execute("CREATE TABLE t AS SELECT 1 AS id")
        .await;
    let created = face
        .create(json!({"target": "shop", "label": "before the release"}))
        .await
        .status(202);
    let id = created.id();
    assert!(Uuid::parse_str(&id).is_ok(), "{id}");
    assert_eq!(
        created.headers["location"],
        format!("/api/backup/status/{id}")
    );
    assert_eq!(created.headers["retry-after"], "1");
    assert_eq!(created.json()["status"], "in_progress");
    assert_eq!(created.json()["label"], "before the release");

    let ended = face.ended(&id).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(ended["progress"], 100.0);
    assert_eq!(ended["result"]["storages"], json!(["local"]));
    let row = face.world.status(id.parse().unwrap()).await;
    assert_eq!(ended["result"]["sha256"], json!(row.sha256));
    assert_eq!(ended["elapsedTime"]["formatted"], json!(row.elapsed));

    let answer = face.status(&id).await.status(200);
    assert!(!answer.headers.contains_key("retry-after"), "it has ended");
    let tag = answer.headers["etag"].clone();
    let path = format!("/api/backup/status/{id}");
    let same = face.get(&path).header("if-none-match", &tag).send().await;
    let same = same.status(304);
    assert_eq!((same.text.as_str(), &same.headers["etag"]), ("", &tag));
    let other = face.get(&path).header("if-none-match", "W/\"x\"").send();
    other.await.status(200);

    let list = face.get("/api/backup").send().await.status(200).json();
    assert_eq!(list["backups"][0]["id"], id);
    assert_eq!(list["next"], Value::Null);
    let cancel = face.post(&format!("/api/backup/cancel/{id}")).send().await;
    let cancel = cancel.status(200).json();
    assert_eq!(
        (&cancel["cancel"], &cancel["id"]),
        (&json!("ended_before"), &json!(id))
    );
    let monitoring = face.get("/api/backup/monitoring").send().await.status(200);
    let monitoring = monitoring.json();
    assert_eq!(monitoring["backups"], json!([]));
    let target = &monitoring["targets"][0];
    assert_eq!(
        (&target["target"], &target["daemons"]),
        (&json!("shop"), &json!(1))
    );
    assert_eq!(target["lastSuccessId"], id);
    face.daemon.stop().await;
}

#[tokio::test]
async fn a_temporary_id_waits_to_start_and_an_unknown_one_does_not_exist() {
    let face = Face::new().await;
    for id in ["temp_1764538096123", "7", "%C3%A9", &"x".repeat(300)] {
        let answer = face.status(id).await.status(200);
        assert_eq!(answer.headers["retry-after"], "1");
        let answer = answer.json();
        assert_eq!(answer["status"], "in_progress");
        assert_eq!(answer["message"], "Waiting to start");
        assert_eq!(answer["progress"], 0.0);
    }
    let id = Uuid::new_v4();
    let problem = face
        .status(&id.to_string())
        .await
        .problem(404, "unknown-backup");
    assert_eq!(problem["detail"], format!("there is no backup {id}"));
    for path in ["status", "events"] {
        let path = format!("/api/backup/{path}/%ff");
        face.get(&path)
            .send()
            .await
            .problem(400, "malformed-request");
    }
    let path = "/api/backup/cancel/temp_1";
    face.post(path).send().await.problem(409, "no-job-yet");
    let path = format!("/api/backup/cancel/{id}");
    face.post(&path).send().await.problem(404, "unknown-backup");
}

#[tokio::test]
async fn the_same_request_again_is_the_same_backup_and_another_body_is_refused() {
    let mut world = World::new().await;
    for name in ["a", "b"] {
        set_token(&mut world, name, &["read", "enqueue"], &["*"]);
    }
    let face = Face::of(world).await;
    let ask = async |token: &str, key: Option<&str>, body: Value| {
        let mut request = face.post("/api/backup/create").token(token).json(&body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.send().await
    };
    let body = json!({"target": "nowhere", "spec": {"excludeTables": ["x"]}});
    let first = ask("a", Some("monday"), body.clone())
        .await
        .status(202)
        .id();
    let again = ask("a", Some("monday"), body.clone())
        .await
        .status(202)
        .id();
    assert_eq!(first, again);
    for other in [
        json!({"target": "nowhere"}),
        json!({"target": "nowhere", "label": "x", "spec": {"excludeTables": ["x"]}}),
        json!({"target": "elsewhere", "spec": {"excludeTables": ["x"]}}),
    ] {
        let refused = ask("a", Some("monday"), other).await;
        refused.problem(422, "idempotency-mismatch");
    }
    let of_another = ask("b", Some("monday"), body.clone())
        .await
        .status(202)
        .id();
    assert_ne!(first, of_another, "a key is its token's own");

    let id = Uuid::new_v4().to_string();
    let with_id = json!({"target": "nowhere", "id": id.to_uppercase()});
    assert_eq!(ask("a", None, with_id.clone()).await.status(202).id(), id);
    assert_eq!(ask("a", None, with_id.clone()).await.status(202).id(), id);
    let other = json!({"target": "nowhere", "id": id, "label": "x"});
    ask("a", None, other)
        .await
        .problem(422, "idempotency-mismatch");
    ask("a", Some("k"), with_id)
        .await
        .problem(422, "invalid-request");
    let long = "k".repeat(256);
    ask("a", Some(&long), body.clone())
        .await
        .problem(422, "invalid-request");

    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_jobs")
        .fetch_one(&face.world.pool)
        .await
        .unwrap();
    assert_eq!(count, 3);
    // Who asked is kept with the backup.
    let job = face.world.status(first.parse().unwrap()).await;
    assert_eq!(job.metadata, json!({"http_token": "a"}));
}

#[tokio::test]
async fn a_cancel_says_what_it_did() {
    let mut world = World::new().await;
    let fake = FakePgDump::new(world.cluster.major(), &[], Then::Hang);
    world.use_fake(&fake);
    let face = Face::of(world).await;
    let cancel = async |id: &str| {
        let path = format!("/api/backup/cancel/{id}");
        face.post(&path).send().await.status(200).json()
    };
    let waits = face
        .create(json!({"target": "nowhere"}))
        .await
        .status(202)
        .id();
    let answer = cancel(&waits).await;
    assert_eq!(
        (&answer["cancel"], &answer["status"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    assert_eq!(cancel(&waits).await["cancel"], "ended_before");

    let runs = face
        .create(json!({"target": "shop"}))
        .await
        .status(202)
        .id();
    eventually("it runs", SOON, async || {
        let answer = face.status(&runs).await.json();
        (answer["state"] == "running").then_some(())
    })
    .await;
    let answer = cancel(&runs).await;
    assert_eq!(
        (&answer["cancel"], &answer["cancelRequested"]),
        (&json!("stopping"), &json!(true))
    );
    assert_eq!(face.ended(&runs).await["status"], "cancelled");
    assert_eq!(cancel(&runs).await["cancel"], "ended_before");
}

#[tokio::test]
async fn the_history_comes_in_pages_that_neither_shift_nor_repeat() {
    let face = Face::new().await;
    let mut asked = Vec::new();
    for number in 0..5 {
        let body = json!({"target": if number == 2 { "elsewhere" } else { "nowhere" }});
        asked.push(face.create(body).await.status(202).id());
    }
    asked.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/backup?limit=2".to_owned();
    loop {
        let page = face.get(&path).send().await.status(200).json();
        let backups = page["backups"].as_array().unwrap();
        seen.extend(
            backups
                .iter()
                .map(|backup| backup["id"].as_str().unwrap().to_owned()),
        );
        // What comes meanwhile is newer, and on none of the pages that follow.
        face.create(json!({"target": "nowhere"})).await.status(202);
        let Some(next) = page["next"].as_str() else {
            break;
        };
        assert_eq!(backups.len(), 2);
        path = format!("/api/backup?limit=2&cursor={next}");
    }
    assert_eq!(seen, asked);
    let ids = async |query: &str| {
        let path = format!("/api/backup?{query}");
        let page = face.get(&path).send().await.status(200).json();
        page["backups"].as_array().unwrap().len()
    };
    assert_eq!(ids("target=elsewhere").await, 1);
    assert_eq!(ids("target=elsewhere&target=nowhere&limit=100").await, 8);
    assert_eq!(ids("state=queued&limit=100").await, 8);
    assert_eq!(ids("state=failed").await, 0);
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "state=gone",
        "cursor=x",
        "cursor=99999999999999999999.0",
        "cursor=9223372036854775807.f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
        "target=%00",
    ] {
        let answer = face.get(&format!("/api/backup?{query}")).send().await;
        answer.problem(400, "malformed-request");
    }
}

#[tokio::test]
async fn every_mistake_in_a_request_to_create_has_an_answer_that_names_it() {
    let face = Face::new().await;
    for (body, status, word, names) in [
        ("", 422, "invalid-request", "`target` is missing"),
        ("{", 400, "malformed-request", "not JSON"),
        ("[]", 400, "malformed-request", "not a JSON object"),
        ("\"\\ud800\"", 400, "malformed-request", "not JSON"),
        (
            r#"{"target": "shop", "user": 7}"#,
            422,
            "invalid-request",
            "user",
        ),
        (
            r#"{"target": "shop", "id": "7"}"#,
            422,
            "invalid-request",
            "not a UUID",
        ),
        (
            r#"{"target": "a\u0000b"}"#,
            422,
            "invalid-request",
            "control character",
        ),
        (
            r#"{"target": "postgres://u:secret@h/d"}"#,
            422,
            "invalid-request",
            "is an address",
        ),
        (
            r#"{"target": "shop", "label": "\u0000"}"#,
            422,
            "invalid-request",
            "zero byte",
        ),
        (
            r#"{"target": "shop", "spec": {"tables": ["a", 7]}}"#,
            422,
            "invalid-request",
            "spec",
        ),
        (
            r#"{"target": "shop", "spec": {"tables": [""]}}"#,
            422,
            "invalid-request",
            "tables",
        ),
        (
            r#"{"target": "shop", "spec": {"tables": ["*****************a"]}}"#,
            422,
            "invalid-request",
            "tables",
        ),
    ] {
        let answer = face.post("/api/backup/create").body(body).send().await;
        let problem = answer.problem(status, word);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(names), "{body}: {detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }
}

#[tokio::test]
async fn the_trace_of_a_request_is_kept_with_its_job_unless_it_is_malformed() {
    let face = Face::new().await;
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (sent, kept) in [(good, Some(good)), ("00-x", None)] {
        let request = face
            .post("/api/backup/create")
            .header("traceparent", sent)
            .json(&json!({"target": "nowhere"}));
        let id: Uuid = request.send().await.status(202).id().parse().unwrap();
        let trace: Option<String> =
            sqlx::query_scalar("SELECT trace_parent FROM pgdumpd.backup_jobs WHERE id = $1")
                .bind(id)
                .fetch_one(&face.world.pool)
                .await
                .unwrap();
        assert_eq!(trace.as_deref(), kept);
    }
}

#[tokio::test]
async fn a_role_that_may_have_no_more_backups_queued_is_answered_429() {
    let face = Face::new().await;
    face.world
        .queue
        .execute(
            "INSERT INTO pgdumpd.quotas (requested_by, queued_jobs)
             VALUES (current_user, 1)",
        )
        .await;
    face.create(json!({"target": "nowhere"})).await.status(202);
    let refused = face.create(json!({"target": "nowhere"})).await;
    assert_eq!(refused.headers["retry-after"], "60");
    let problem = refused.problem(429, "quota");
    assert!(
        problem["hint"].as_str().unwrap().contains("pgdumpd.quotas"),
        "{problem}"
    );
}

#[tokio::test]
async fn while_the_queue_is_away_a_daemon_is_healthy_and_not_ready_and_recovers() {
    let mut world = World::new().await;
    let proxy = Proxy::start(world.cluster).await;
    let role = world.cluster.role("SUPERUSER").await;
    let url = world.queue.url_on_port(&role, proxy.port());
    world.set("queue", "url", quoted(&url));
    let face = Face::with_a_token(world).await;
    // Neither needs a token.
    for path in ["/healthz", "/readyz"] {
        let answer = face.get(path).send().await.status(200);
        assert_eq!(answer.json(), json!({"success": true}));
    }
    proxy.cut();
    let id = Uuid::new_v4();
    for path in ["/readyz".to_owned(), format!("/api/backup/status/{id}")] {
        let answer = face.get(&path).token("all").send().await;
        assert_eq!(answer.headers["retry-after"], "5");
        let problem = answer.problem(503, "unavailable");
        // What a driver says may name hosts and users.
        assert_eq!(problem["detail"], "the queue cannot be reached");
    }
    face.get("/healthz").send().await.status(200);
    proxy.heal();
    eventually("the daemon is ready again", SOON, async || {
        let answer = face.get("/readyz").send().await;
        (answer.status == 200).then_some(())
    })
    .await;
}

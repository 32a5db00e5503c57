//! The operator's page, and what it asks: files that need no token, answers about jobs, and how long these take.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::face::{Face, set_token};
use crate::harness::World;

#[tokio::test]
async fn the_page_needs_no_token_runs_nothing_inline_and_is_not_sent_twice() {
    let face = Face::with_a_token(World::new().await).await;
    let page = face.get("/").send().await.status(200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    for absent in [
        "style=", "<style", "http://", "https://", "src=\"/", "href=\"/",
    ] {
        assert!(!page.text.contains(absent), "{absent}");
    }
    let files = page
        .text
        .split('"')
        .filter(|text| text.starts_with("page/"));
    let files: Vec<String> = files.map(|name| format!("/{name}")).collect();
    assert!(files.len() > 2, "{files:?}");
    for path in files.iter().map(String::as_str).chain(["/"]) {
        let file = face.get(path).send().await.status(200);
        let policy = &file.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        assert_eq!(file.headers["referrer-policy"], "no-referrer");
        let tag = &file.headers["etag"];
        let again = face.get(path).header("if-none-match", tag).send().await;
        assert_eq!(again.status(304).text, "", "{path}");
    }
    for path in ["/page/", "/page/absent.js", "/page/..%2froutes.rs"] {
        let answer = face.get(path).send().await;
        assert!([401, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    face.get("/api/backup/rights")
        .send()
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_job_is_shown_with_its_attempts_its_storages_and_its_tables() {
    let mut world = World::new().await;
    set_token(&mut world, "admin", &["admin"], &["*"]);
    set_token(&mut world, "reader", &["read"], &["shop"]);
    let face = Face::of(world).await;
    face.world
        .shop
        .execute("CREATE TABLE t AS SELECT generate_series(1, 7) AS id; CREATE TABLE u (id int)")
        .await;
    let created = face
        .post("/api/backup/create")
        .token("admin")
        .json(&json!({"target": "shop", "label": "by hand"}));
    let id = created.send().await.status(202).id();
    let job = id.parse().unwrap();
    face.world
        .until(job, "it ends", |job| job.state.has_ended())
        .await;
    let get = async |path: &str, token: &str| {
        let request = face.get(&format!("/api/backup/{path}")).token(token);
        request.send().await.status(200).json()
    };

    let details = get(&format!("jobs/{id}"), "admin").await;
    assert_eq!(details["job"]["label"], "by hand");
    assert_eq!(details["job"]["state"], "succeeded");
    assert_eq!(details["attempts"][0]["outcome"], "succeeded");
    assert!(details["attempts"][0]["host"].is_string());
    assert!(details["job"]["requestedBy"].is_string());
    assert_eq!(details["storages"][0]["storage"], "local");
    assert_eq!(
        details["storages"][0]["sizeBytes"],
        details["job"]["sizeBytes"]
    );
    // Roles and hosts are the operator's.
    let seen = get(&format!("jobs/{id}"), "reader").await;
    for hidden in [
        &seen["job"]["requestedBy"],
        &seen["job"]["workerHost"],
        &seen["attempts"][0]["host"],
    ] {
        assert_eq!(hidden, &Value::Null);
    }

    let tables = get(&format!("jobs/{id}/tables"), "reader").await;
    let rows = tables["tables"].as_array().unwrap();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (&row["name"], &row["rows"]))
        .collect();
    assert_eq!(
        shown,
        [
            (&json!("public.t"), &json!(7)),
            (&json!("public.u"), &json!(0))
        ]
    );
    assert_eq!(
        (&tables["storage"], &tables["unknown"]),
        (&json!("local"), &Value::Null)
    );

    let overview = get("overview", "reader").await;
    let target = &overview["targets"][0];
    assert_eq!(target["lastGood"]["id"], id);
    assert_eq!(target["lastGood"]["storages"], json!(["local"]));
    assert_eq!(
        target["recent"][0]["sizeBytes"],
        details["job"]["sizeBytes"]
    );
    let daemons = get("daemons", "admin").await;
    assert_eq!(daemons["daemons"][0]["state"], "alive");
    assert_eq!(daemons["daemons"][0]["targets"], json!(["shop"]));
    let kinds = async |kind: &str| {
        let page = get(&format!("jobs?kind={kind}"), "reader").await;
        page["jobs"].as_array().unwrap().len()
    };
    assert_eq!((kinds("backup").await, kinds("copy").await), (1, 0));
    let wrong = face.get("/api/backup/jobs?kind=x").token("reader").send();
    wrong.await.problem(400, "malformed-request");

    // A backup that was deleted from everywhere is not a good one any more.
    face.world
        .queue
        .execute("UPDATE pgdumpd.backup_copies SET state = 'deleted', deleted_at = now()")
        .await;
    let overview = get("overview", "reader").await;
    assert_eq!(overview["targets"][0]["lastGood"], Value::Null);
    let tables = get(&format!("jobs/{id}/tables"), "reader").await;
    assert_eq!(tables["unknown"], "not_stored");
}

/// What the page asks may take this long, with 10,000 jobs that have ended and 1,000 that wait.
const LIMIT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn what_the_page_asks_is_answered_fast_from_a_long_queue() {
    let face = Face::new().await;
    face.world
        .queue
        .execute(
            "INSERT INTO pgdumpd.backup_jobs (target, created_at, state, attempt, lease_token, started_at, finished_at, progress, size_bytes, sha256, error, error_code)
             SELECT 'target-' || (i % 20)::text, at, CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'succeeded' END, 1, gen_random_uuid(), at, at,
                    CASE WHEN i % 50 = 0 THEN 0 ELSE 100 END, 1000 + i, repeat('ab', 32), CASE WHEN i % 50 = 0 THEN 'it failed' END, CASE WHEN i % 50 = 0 THEN 'internal' END
             FROM generate_series(1, 10000) AS i, LATERAL (SELECT now() - i * interval '1 minute' AS at) AS t;
             INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state, stored_at)
             SELECT id, 'local', gen_random_uuid(), id::text, 1, 'stored', finished_at FROM pgdumpd.backup_jobs WHERE state = 'succeeded';
             INSERT INTO pgdumpd.backup_jobs (target) SELECT 'target-' || (i % 20)::text FROM generate_series(1, 1000) AS i;
             ANALYZE",
        )
        .await;
    let mut slow = Vec::new();
    for path in [
        "/",
        "/api/backup/overview",
        "/api/backup/jobs?limit=50",
        "/api/backup/jobs?limit=50&state=queued",
        "/api/backup/jobs?limit=50&state=failed",
        "/api/backup/jobs?limit=50&target=target-3&kind=backup",
        "/api/backup/daemons",
    ] {
        let mut times = Vec::new();
        for _ in 0..7 {
            let began = Instant::now();
            let answer = face.get(path).send().await.status(200);
            times.push(began.elapsed());
            assert!(!answer.text.is_empty());
        }
        times.sort();
        // The quickest: what else this machine does meanwhile is not the daemon's time.
        println!("{path}: {:?} to {:?}", times[0], times[6]);
        if times[0] > LIMIT {
            slow.push((path, times[0]));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
    let overview = face.get("/api/backup/overview").send().await.json();
    assert_eq!(overview["queuedTotal"], 1000);
    assert_eq!(overview["queued"].as_array().unwrap().len(), 100);
}

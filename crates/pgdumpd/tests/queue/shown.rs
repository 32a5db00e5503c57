//! What a page about backups shows: the asker's own object, where a backup is, which targets there are.

use pgdumpd::migrate::{Grants, migrate, print};
use pgdumpd::queue::{Beat, Outcome, Progress};
use pgdumpd_testkit::cluster;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::fixture::{Fixture, LEASE, failure, fixture, progress, qualified};
use crate::roles::worker;

async fn one(pool: &PgPool, sql: &str) -> Value {
    let sql = format!("SELECT to_jsonb(r) FROM ({sql}) AS r");
    let row = sqlx::query_scalar(AssertSqlSafe(sql.as_str()))
        .fetch_one(pool)
        .await;
    row.unwrap_or_else(|error| panic!("{error}, in: {sql}"))
}

impl Fixture {
    async fn serves(&self, targets: &[&str]) {
        let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
        self.queue
            .register(&worker(self), &targets, &[], &json!({}), false)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_an_asker_keeps_with_a_job_comes_back_to_it() {
    let f = fixture().await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let asked = one(
        &producer,
        r#"SELECT job_id FROM pgdumpd.enqueue_backup('app', metadata => '{"user": 7, "name": "Zoë\n"}')"#,
    )
    .await;
    let id = asked["job_id"].as_str().unwrap();
    for view in ["backup_status", "backup_monitoring"] {
        let sql = format!("SELECT metadata FROM pgdumpd.{view} WHERE id = '{id}'");
        let shown = one(&producer, &sql).await;
        assert_eq!(shown["metadata"], json!({ "user": 7, "name": "Zoë\n" }));
    }
    let spec = r#"INSERT INTO pgdumpd.backup_jobs (target, spec) VALUES ('app', '{"tables": ["public.a"]}') RETURNING id"#;
    let id: Uuid = sqlx::query_scalar(spec).fetch_one(&producer).await.unwrap();
    let sql = format!("SELECT spec, metadata FROM pgdumpd.backup_status WHERE id = '{id}'");
    assert_eq!(
        one(&producer, &sql).await,
        json!({ "spec": { "tables": ["public.a"] }, "metadata": {} })
    );
}

#[tokio::test]
async fn the_trace_of_a_request_comes_with_the_job_and_with_its_copies() {
    let f = fixture().await;
    f.serves(&["app"]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let sql =
        format!("SELECT job_id FROM pgdumpd.enqueue_backup('app', trace_parent => '{trace}')");
    one(&producer, &sql).await;
    let job = f.claim(&["app"]).await.unwrap();
    assert_eq!(job.trace_parent.as_deref(), Some(trace));
    f.note(&job, "a/b").await;
    f.ends(&job, "a/b", &["offsite"]).await;
    let copy = f.copy_claimed().await;
    assert_eq!(copy.trace_parent.as_deref(), Some(trace));
}

#[tokio::test]
async fn a_producer_sees_which_targets_can_be_asked_for() {
    let f = fixture().await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let served = async || {
        let sql = "SELECT coalesce(jsonb_object_agg(target, daemons), '{}') AS s FROM pgdumpd.served_targets";
        one(&producer, sql).await["s"].clone()
    };
    assert_eq!(served().await, json!({}));
    f.serves(&["app", "shop"]).await;
    assert_eq!(served().await, json!({ "app": 1, "shop": 1 }));
    f.enqueue("app", &[]).await;
    f.enqueue("typo", &[]).await;
    let sql = "SELECT jsonb_object_agg(target, unserved) AS s FROM pgdumpd.backup_status";
    let unserved = one(&f.admin, sql).await["s"].clone();
    assert_eq!(unserved, json!({ "app": false, "typo": true }));
    // A daemon that has died serves nothing.
    f.db.execute("UPDATE pgdumpd.workers SET last_seen_at = now() - interval '1 day'")
        .await;
    assert_eq!(served().await, json!({}));
}

#[tokio::test]
async fn a_job_shows_where_its_backup_is_who_ran_it_and_who_cancelled_it() {
    let f = fixture().await;
    f.serves(&["app"]).await;
    let job = f.stored("app/key.dump", &[]).await;
    let id = job.lease.job;
    let columns = "stored_in, worker_host, cancel_requested_by, unserved";
    let sql = format!("SELECT {columns} FROM pgdumpd.backup_status WHERE id = '{id}'");
    let shown = one(&f.admin, &sql).await;
    let places = shown["stored_in"].as_array().unwrap();
    assert_eq!(places.len(), 1, "{shown}");
    assert_eq!(places[0]["storage"], "local");
    assert_eq!(places[0]["object_key"], "app/key.dump");
    assert_eq!(places[0]["size_bytes"], 4096);
    assert!(places[0]["stored_at"].is_string(), "{shown}");
    assert!(shown["worker_host"].is_string(), "{shown}");
    assert_eq!(shown["unserved"], false);
    f.db.execute("UPDATE pgdumpd.backup_copies SET state = 'deleted', deleted_at = now()")
        .await;
    assert_eq!(one(&f.admin, &sql).await["stored_in"], json!([]));
    let queued = f.enqueue("app", &[]).await;
    f.cancel(queued).await;
    let sql =
        format!("SELECT cancel_requested_by FROM pgdumpd.backup_status WHERE id = '{queued}'");
    let shown = one(&f.admin, &sql).await;
    assert_eq!(shown["cancel_requested_by"], "postgres");
}

#[tokio::test]
async fn a_heartbeat_says_how_many_rows_are_expected_and_a_new_attempt_forgets_it() {
    let f = fixture().await;
    let job = f.running("app").await;
    let known = Progress {
        rows_expected: Some(12_345),
        ..progress(10.0)
    };
    let beat = f.queue.heartbeat(&job.lease, LEASE, &known).await.unwrap();
    assert_eq!(beat, Beat::Renewed { cancel: false });
    let id = job.lease.job;
    let expected = f.column(id, "rows_expected").await;
    assert_eq!(expected.as_deref(), Some("12345"));
    let failed = Outcome::Failed(failure(true));
    f.queue.finish(&job.lease, &failed).await.unwrap();
    f.make_due().await;
    f.claim(&["app"]).await.unwrap();
    assert_eq!(f.column(id, "rows_expected").await, None);
}

#[tokio::test]
async fn roles_of_an_older_queue_can_do_the_new_things_after_its_update() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let whole = print(&Grants::default(), None);
    let end = whole.find("-- Migration 15:").unwrap();
    db.execute(&format!("{}\nCOMMIT;", &whole[..end])).await;
    let (producer, daemon) = (cluster.role("").await, cluster.role("").await);
    db.execute(&format!(
        "SELECT pgdumpd.grant_producer('{}'); SELECT pgdumpd.grant_daemon('{}')",
        producer.name, daemon.name
    ))
    .await;
    migrate(&db.pool().await, &Grants::default()).await.unwrap();
    let producer = qualified(&db.url_as(&producer.name)).await;
    for sql in [
        "SELECT is_new FROM pgdumpd.enqueue_backup('app', metadata => '{\"a\": 1}')",
        "SELECT count(*) FROM pgdumpd.served_targets",
        // As an older client calls it.
        "SELECT is_new FROM pgdumpd.enqueue_backup('app', '{}', 3, now(), 'key', 3, NULL, NULL)",
    ] {
        one(&producer, sql).await;
    }
    sqlx::query("INSERT INTO pgdumpd.backup_jobs (target, metadata) VALUES ('app', '{}')")
        .execute(&producer)
        .await
        .unwrap();
    let daemon = qualified(&db.url_as(&daemon.name)).await;
    sqlx::query("UPDATE pgdumpd.backup_jobs SET rows_expected = 1")
        .execute(&daemon)
        .await
        .unwrap();
}

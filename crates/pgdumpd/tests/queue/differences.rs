//! Daemons that mean different things by one target: who is compared, and what a claim makes of it.

use pgdumpd::queue::{DumpedDatabase, Outcome, Worker};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{Fixture, LEASE, fixture, names, success};

/// A daemon of the target `app` to which it means this.
async fn daemon(f: &Fixture, id: Uuid, settings: Value, stopping: bool) {
    let worker = Worker {
        id,
        host: format!("host-{id}"),
        pid: 7,
        version: "1".into(),
        max_jobs: 1,
        max_copies: 0,
        lease: LEASE,
    };
    let settings = json!({ "app": settings });
    f.queue
        .register(&worker, &names(&["app"]), &[], &settings, stopping)
        .await
        .unwrap();
}

/// In which settings this daemon differs with another one, once that is `theirs`.
async fn differing(f: &Fixture, ours: Value, theirs: Value) -> Option<Vec<String>> {
    let other = Uuid::new_v4();
    daemon(f, f.worker, ours, false).await;
    daemon(f, other, theirs, false).await;
    let found = f.queue.differences(Some(f.worker)).await.unwrap();
    assert_eq!(f.queue.differences(Some(other)).await.unwrap(), found);
    assert_eq!(f.queue.differences(None).await.unwrap(), found);
    f.queue.unregister(other).await.unwrap();
    found
        .into_iter()
        .next()
        .map(|difference| difference.settings)
}

#[tokio::test]
async fn only_what_both_daemons_know_is_compared() {
    let f = fixture().await;
    let ours = json!({ "database": "app", "server": "1", "storage": "a", "keep_last": null, "encrypt_to": [] });
    assert_eq!(differing(&f, ours.clone(), ours.clone()).await, None);
    // A daemon of before, and one that knows the target and nothing else.
    assert_eq!(differing(&f, ours.clone(), json!({})).await, None);
    // One that has not reached its server yet.
    let unreached = json!({ "database": "app", "address": "db:5432" });
    assert_eq!(differing(&f, ours.clone(), unreached).await, None);
    let other = json!({ "database": "other", "server": "2", "storage": "a", "keep_last": 3, "encrypt_to": ["age1…"] });
    let settings = names(&["database", "encrypt_to", "keep_last", "server"]);
    assert_eq!(differing(&f, ours, other).await, Some(settings));
}

#[tokio::test]
async fn neither_of_two_daemons_that_differ_claims_and_both_do_once_they_agree() {
    let f = fixture().await;
    let other = Uuid::new_v4();
    let job = f.enqueue("app", &[]).await;
    f.enqueue("free", &[]).await;
    daemon(&f, f.worker, json!({ "database": "app" }), false).await;
    daemon(&f, other, json!({ "database": "other" }), false).await;
    for worker in [f.worker, other] {
        let claimed = f
            .queue
            .claim(worker, &names(&["app"]), LEASE)
            .await
            .unwrap();
        assert!(claimed.is_none());
    }
    let because: String =
        sqlx::query_scalar("SELECT waits_because FROM pgdumpd.backup_status WHERE id = $1")
            .bind(job)
            .fetch_one(&f.admin)
            .await
            .unwrap();
    assert!(
        because.starts_with("daemons differ about target \"app\": "),
        "{because}"
    );
    assert!(
        because.contains(&format!("host-{other} (pid 7)")) && because.ends_with(" in database"),
        "{because}"
    );
    // Other targets are not held up.
    let claimed = f
        .queue
        .claim(f.worker, &names(&["app", "free"]), LEASE)
        .await
        .unwrap();
    assert_eq!(claimed.unwrap().target, "free");
    let none = f
        .queue
        .claim(f.worker, &names(&["app"]), LEASE)
        .await
        .unwrap();
    assert!(none.is_none());
    f.queue
        .show_target_settings(other, &json!({ "app": { "database": "app" } }))
        .await
        .unwrap();
    let claimed = f.queue.claim(other, &names(&["app"]), LEASE).await.unwrap();
    assert_eq!(claimed.unwrap().lease.job, job);
}

#[tokio::test]
async fn a_daemon_that_is_gone_or_stops_holds_nobody_up() {
    let f = fixture().await;
    let other = Uuid::new_v4();
    daemon(&f, f.worker, json!({ "database": "app" }), false).await;
    daemon(&f, other, json!({ "database": "other" }), false).await;
    assert_eq!(f.queue.differences(None).await.unwrap().len(), 1);
    daemon(&f, other, json!({ "database": "other" }), true).await;
    assert_eq!(f.queue.differences(None).await.unwrap(), []);
    daemon(&f, other, json!({ "database": "other" }), false).await;
    sqlx::query("UPDATE pgdumpd.workers SET last_seen_at = now() - 2 * lease WHERE id = $1")
        .bind(other)
        .execute(&f.admin)
        .await
        .unwrap();
    assert_eq!(f.queue.differences(None).await.unwrap(), []);
    let job = f.enqueue("app", &[]).await;
    assert_eq!(f.claim(&["app"]).await.unwrap().lease.job, job);
}

#[tokio::test]
async fn the_database_of_the_newest_backup_is_known_and_that_of_a_failed_attempt_is_not() {
    let f = fixture().await;
    let database = |name: &str| DumpedDatabase {
        name: name.into(),
        system_identifier: Some("18446744073709551615".into()),
    };
    assert_eq!(f.queue.last_database("app").await.unwrap(), None);
    for name in ["first", "second"] {
        let job = f.running("app").await;
        f.queue
            .record_database(&job.lease, &database(name))
            .await
            .unwrap();
        f.queue
            .finish(&job.lease, &Outcome::Succeeded(Box::new(success())))
            .await
            .unwrap();
        // After the end nothing is recorded.
        f.queue
            .record_database(&job.lease, &database("late"))
            .await
            .unwrap();
    }
    let job = f.running("app").await;
    f.queue
        .record_database(&job.lease, &database("third"))
        .await
        .unwrap();
    let found = f.queue.last_database("app").await.unwrap();
    assert_eq!(found, Some(database("second")));
}

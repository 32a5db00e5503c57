//! Another queue behind the same address: a clone that was adopted, a name that moved, a failover.

use pgdumpd::queue::{QueueError, Worker};
use uuid::Uuid;

use crate::fixture::{Fixture, LEASE, fixture, names};

/// What an address that leads elsewhere, or `pgdumpd adopt`, looks like to who is connected.
async fn replace(f: &Fixture) -> Uuid {
    sqlx::query_scalar("UPDATE pgdumpd.queue SET id = gen_random_uuid() RETURNING id")
        .fetch_one(&f.admin)
        .await
        .unwrap()
}

fn worker() -> Worker {
    Worker {
        id: Uuid::new_v4(),
        host: "db1".to_owned(),
        pid: 1,
        version: "1".to_owned(),
        max_jobs: 1,
        max_copies: 1,
        lease: LEASE,
    }
}

#[tokio::test]
async fn in_a_queue_with_another_id_nothing_is_claimed_or_reaped() {
    let f = fixture().await;
    let silent = f.running("a").await;
    f.expire(silent.lease.job).await;
    let due = f.enqueue("b", &[]).await;
    let before = f.everything().await;
    replace(&f).await;
    assert!(f.claim(&["b"]).await.is_none());
    assert_eq!(f.queue.reap(0).await.unwrap(), 0);
    assert_eq!(f.everything().await, before);
    // Where the address leads back, everything goes on.
    sqlx::query("UPDATE pgdumpd.queue SET id = $1")
        .bind(f.queue.id())
        .execute(&f.admin)
        .await
        .unwrap();
    assert_eq!(f.claim(&["b"]).await.unwrap().lease.job, due);
    assert_eq!(f.queue.reap(0).await.unwrap(), 1);
}

#[tokio::test]
async fn a_daemon_does_not_register_in_a_queue_with_another_id_and_is_told_both() {
    let f = fixture().await;
    let (worker, targets) = (worker(), names(&["a"]));
    f.queue
        .register(&worker, &targets, &[], &serde_json::json!({}), false)
        .await
        .unwrap();
    let seen = "SELECT array_agg(last_seen_at) FROM pgdumpd.workers";
    let seen = async || -> Vec<chrono::DateTime<chrono::Utc>> {
        sqlx::query_scalar(seen).fetch_one(&f.admin).await.unwrap()
    };
    let before = seen().await;
    let new = replace(&f).await;
    let refused = f
        .queue
        .register(&worker, &targets, &[], &serde_json::json!({}), false)
        .await;
    let Err(QueueError::Replaced { found, known }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((found, known), (new, f.queue.id()));
    assert_eq!(seen().await, before);
}

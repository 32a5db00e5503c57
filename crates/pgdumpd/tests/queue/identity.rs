//! Another queue behind the same address: a clone that was adopted, a name that moved, a failover.

use std::time::Duration;

use pgdumpd::queue::{QueueError, Worker};
use pgdumpd_testkit::eventually;
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

#[tokio::test]
async fn a_claim_that_an_adoption_waits_for_leaves_no_attempt_running() {
    let f = fixture().await;
    let id = f.enqueue("a", &[]).await;
    let mut claimer = f.admin.begin().await.unwrap();
    sqlx::query(include_str!("../../src/queue/sql/claim.sql"))
        .bind(names(&["a"]))
        .bind(&[1_i16][..])
        .bind(f.worker)
        .bind(Uuid::new_v4())
        .bind(300.0_f64)
        .bind(1_i64)
        .bind(f.queue.id())
        .execute(&mut *claimer)
        .await
        .unwrap();
    let adopting = tokio::spawn({
        let queue = f.queue.clone();
        async move { queue.reset_identity().await.unwrap().unwrap() }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually(
        "it waits for the claim",
        Duration::from_secs(20),
        async || {
            let count: i64 = sqlx::query_scalar(waits).fetch_one(&f.admin).await.unwrap();
            (count > 0).then_some(())
        },
    )
    .await;
    claimer.commit().await.unwrap();
    assert_eq!(adopting.await.unwrap().failed, 1);
    assert_eq!(f.state(id).await, "failed");
    assert_eq!(f.outcomes(id).await, ["lost"]);
}

//! Notifications that cannot be sent.

use std::time::Duration;

use pgdumpd::queue::{Finished, Outcome, Wake};
use pgdumpd_testkit::Cluster;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::fixture::{fixture_on, success};

#[tokio::test]
async fn a_full_notification_queue_stops_no_enqueue_no_claim_and_no_end() {
    // The smallest queue that PostgreSQL allows, of 512 KiB. The setting came with version 17.
    let settings = [("max_notify_queue_pages", "64")];
    let Some(cluster) = Cluster::start_private_of(18, &settings).await else {
        return;
    };
    let f = fixture_on(&cluster).await;
    let mut wakes = f.queue.listener();
    assert_eq!(wakes.next().await, Wake::Connected);

    // A role that may do nothing but connect: what it has not read stays in the queue.
    let stranger = f.db.url_as(&cluster.role("").await.name);
    let mut reader = PgConnection::connect(&stranger).await.unwrap();
    reader.execute("LISTEN anything").await.unwrap();
    reader.execute("BEGIN").await.unwrap();
    let mut writer = PgConnection::connect(&stranger).await.unwrap();
    let fill = "SELECT pg_notify('anything', repeat('x', 7000))";
    let refused = loop {
        if let Err(error) = writer.execute(fill).await {
            break error.to_string();
        }
    };
    assert!(refused.contains("too many notifications"), "{refused}");

    let id = f.enqueue("a", &[]).await;
    let job = f.claim(&["a"]).await.expect("a job is due");
    assert_eq!(job.lease.job, id);
    let outcome = Outcome::Succeeded(Box::new(success()));
    let finished = f.queue.finish(&job.lease, &outcome).await.unwrap();
    assert_eq!(finished, Finished::Ended("succeeded"));

    // Room again is found by itself.
    reader.close().await.unwrap();
    let wake = async {
        loop {
            f.enqueue("a", &[]).await;
            if let Ok(wake) = tokio::time::timeout(Duration::from_secs(1), wakes.next()).await {
                return wake;
            }
        }
    };
    let wake = tokio::time::timeout(Duration::from_secs(30), wake).await;
    assert_eq!(wake.expect("a wake-up"), Wake::Notified);
}

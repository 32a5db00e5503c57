//! A job that takes longer than it may.

use std::time::Duration;

use pgdumpd_client::{BackupRequest, JobStatus};
use pgdumpd_testkit::fill;
use sqlx::Connection;

use crate::harness::{World, quoted};

/// A world whose dump waits for a lock, for longer than any test does.
async fn held() -> (World, sqlx::PgConnection) {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    world.shop.execute("CREATE TABLE held (id int)").await;
    let mut holder = world.shop.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    (world, holder)
}

async fn timed_out(world: &World, status: &JobStatus) {
    assert_eq!(status.error_code.as_deref(), Some("timeout"), "{status:#?}");
    assert_eq!(status.error_step.as_deref(), Some("dump"));
    assert!(status.error.as_deref().unwrap().contains("timeout of 1s"));
    assert!(
        status
            .error_hint
            .as_deref()
            .unwrap()
            .contains("Raise the timeout")
    );
    assert_eq!(status.attempt, 1, "not tried again");
    assert!(status.elapsed_seconds.unwrap() < 4.0, "{status:#?}");
    world.assert_clean(0).await;
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_passes_its_own_timeout_fails_for_good_and_leaves_nothing() {
    let (world, holder) = held().await;
    let _daemon = world.daemon().await;
    let request = BackupRequest::new("shop").timeout(Duration::from_secs(1));
    let id = world.enqueue_request(request).await;
    let status = world.failed(id).await;
    timed_out(&world, &status).await;
    holder.close().await.unwrap();
}

#[tokio::test]
async fn a_targets_timeout_holds_for_jobs_without_one() {
    let (mut world, holder) = held().await;
    world.set("targets.shop", "timeout", quoted("1s"));
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.failed(id).await;
    timed_out(&world, &status).await;
    // The target is free for the next one, and each attempt has its own time.
    holder.close().await.unwrap();
    daemon.stop().await;
    world.set("targets.shop", "timeout", quoted("60s"));
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_job_may_ask_for_less_than_its_targets_timeout_and_not_for_more() {
    let (mut world, holder) = held().await;
    for (allowed, asked) in [("1s", 60), ("60s", 1)] {
        world.set("targets.shop", "timeout", quoted(allowed));
        let daemon = world.daemon().await;
        let request = BackupRequest::new("shop").timeout(Duration::from_secs(asked));
        let id = world.enqueue_request(request).await;
        let status = world.failed(id).await;
        timed_out(&world, &status).await;
        daemon.stop().await;
    }
    holder.close().await.unwrap();
}

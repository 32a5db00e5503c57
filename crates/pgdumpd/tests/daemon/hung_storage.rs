//! A storage that hangs: every look and every write waits, as on a network mount whose server is gone.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{HungMount, eventually};
use rustix::process::Signal;
use uuid::Uuid;

use crate::harness::{SOON, World, quoted};

/// A world whose storage is there, and the directory in it where this queue's backups go.
async fn world() -> (World, PathBuf) {
    let world = World::new().await;
    world.make_storage(Uuid::new_v4());
    let queue: Uuid = sqlx::query_scalar("SELECT id FROM pgdumpd.queue")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let place = world.storage().join(queue.to_string());
    std::fs::create_dir(&place).unwrap();
    (world, place)
}

#[tokio::test]
async fn a_storage_that_hangs_before_the_first_byte_fails_the_attempt() {
    let (mut world, place) = world().await;
    world.set("targets.shop", "stall_timeout", quoted("1s"));
    let Some(hung) = HungMount::over(&place) else {
        return;
    };
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    let code = status.error_code.as_deref();
    assert_eq!(code, Some("storage_stalled"), "{status:#?}");
    assert_eq!(status.error_step.as_deref(), Some("store"));
    drop(hung);
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_storage_that_cannot_even_be_opened_fails_the_attempt() {
    let (mut world, _) = world().await;
    world.set("targets.shop", "stall_timeout", quoted("1s"));
    let Some(hung) = HungMount::over(&world.storage()) else {
        return;
    };
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    let code = status.error_code.as_deref();
    assert_eq!(code, Some("storage_stalled"), "{status:#?}");
    assert_eq!(status.error_step.as_deref(), Some("prepare"));
    drop(hung);
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_storage_that_still_hangs_is_not_asked_again() {
    let (mut world, _) = world().await;
    world.set("targets.shop", "stall_timeout", quoted("1s"));
    let Some(hung) = HungMount::over(&world.storage()) else {
        return;
    };
    let _daemon = world.daemon().await;
    let id = world
        .enqueue_request(BackupRequest::new("shop").max_attempts(50))
        .await;
    // Each attempt gives the storage a second. It counts as hanging once it has been slow for longer than that.
    let hangs = "has not answered an earlier request yet";
    let mut attempt = 1;
    loop {
        let failed = world
            .until(id, "the attempt has failed", |status| {
                status.attempt == attempt && status.state == JobState::Queued
            })
            .await;
        if failed
            .error
            .as_ref()
            .is_some_and(|error| error.contains(hangs))
        {
            break;
        }
        assert!(attempt < 20, "{failed:#?}");
        world.make_due(id).await;
        attempt += 1;
    }
    assert!(attempt > 1, "the first attempt asked it");
    drop(hung);
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, attempt + 1);
}

#[tokio::test]
async fn a_job_whose_storage_hangs_obeys_a_cancel() {
    let (world, place) = world().await;
    let Some(hung) = HungMount::over(&place) else {
        return;
    };
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    eventually("the upload is begun", SOON, async || {
        let attempts = world.attempts(id).await;
        attempts.first()?.object_key.as_ref().map(drop)
    })
    .await;
    world.cancel(id).await;
    assert_eq!(world.ended(id).await.state, JobState::Cancelled);
    let took = world.cancel_took(id).await;
    assert!(took < 2.0, "{took} s");
    drop(hung);
    eventually("nothing is left", SOON, async || {
        world.files().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_daemon_whose_storage_hangs_hands_its_job_back_and_exits() {
    let (world, _) = world().await;
    let Some(hung) = HungMount::over(&world.storage()) else {
        return;
    };
    let mut daemon = world.daemon().await;
    let id = world.enqueue().await;
    world
        .until(id, "the job runs", |status| {
            status.state == JobState::Running
        })
        .await;
    let asked = Instant::now();
    daemon.signal(Signal::TERM);
    eventually("the first signal is heard", SOON, async || {
        daemon.log().contains("no more jobs").then_some(())
    })
    .await;
    daemon.signal(Signal::TERM);
    assert!(daemon.exited().await, "{}", daemon.log());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(world.status(id).await.state, JobState::Queued);
    drop(hung);
}

//! A storage that hangs: every look and every write waits, as on a network mount whose server is gone.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgdumpd_client::JobState;
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
    let id = world.enqueue().await;
    world.requeued(id).await;
    // Else it may be tried again by itself meanwhile.
    sqlx::query("UPDATE pgdumpd.backup_jobs SET run_at = run_at + interval '1 hour' WHERE id = $1")
        .bind(id)
        .execute(&world.pool)
        .await
        .unwrap();
    // Longer than a slow answer takes.
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.make_due(id).await;
    let again = world
        .until(id, "the second attempt has ended", |status| {
            status.attempt == 2 && status.state == JobState::Queued
        })
        .await;
    let error = again.error.unwrap();
    assert!(
        error.contains("has not answered an earlier request yet"),
        "{error}"
    );
    drop(hung);
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 3);
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

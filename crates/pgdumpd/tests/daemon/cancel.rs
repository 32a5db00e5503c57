//! Taking a job back, at every moment of its life.

use std::path::Path;
use std::time::Duration;

use pgdumpd_client::{Cancelled, JobState};
use pgdumpd_testkit::{FakePgDump, Then, eventually, fill};
use rustix::process::{Pid, Signal, kill_process_group};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};

/// From the commit of the cancel to the job's end.
const PROMISE_SECONDS: f64 = 2.0;

/// Cancels a running job and sees the promise kept: in time, the session gone, pg_dump gone, no file.
async fn cancelled_in_time(world: &World, daemon: &Daemon, id: Uuid) {
    assert_eq!(world.cancel(id).await, Cancelled::Cancelling);
    seen_cancelled(world, daemon, id).await;
}

async fn seen_cancelled(world: &World, daemon: &Daemon, id: Uuid) {
    let status = world.ended(id).await;
    // At once, not some time later: the row says cancelled only after everything is gone.
    assert_eq!(world.dump_sessions().await, Vec::<String>::new());
    assert_eq!(daemon.pg_dumps(), []);
    assert_eq!(world.files(), Vec::<String>::new());
    assert_eq!(status.state, JobState::Cancelled, "{status:#?}");
    assert_eq!((status.error, status.error_code), (None, None));
    assert!(status.progress < 100.0);
    let took = world.cancel_took(id).await;
    assert!(took < PROMISE_SECONDS, "{took} s");
    assert_eq!(world.ends(id).await, [("cancelled".to_owned(), None)]);
}

/// Holds a table of `shop` against everyone.
async fn hold(world: &World) -> PgConnection {
    world.shop.execute("CREATE TABLE held (id int)").await;
    let mut holder = world.shop.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    holder
}

/// Waits until pg_dump is queued behind that.
async fn waiting(world: &World) {
    eventually("pg_dump waits for the lock", SOON, async || {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1
             AND application_name LIKE 'pgdumpd %' AND wait_event_type = 'Lock')",
        )
        .bind(world.shop.name())
        .fetch_one(&world.pool)
        .await
        .unwrap();
        waits.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_rows_flow_is_cancelled_within_two_seconds() {
    let mut world = World::new().await;
    fill(&world.shop, 60).await;
    world.set("targets.shop", "compression", quoted("gzip:9"));
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.dumping(id).await;
    assert_eq!(world.dump_sessions().await.len(), 1);
    cancelled_in_time(&world, &daemon, id).await;
    // The target is free again, and a cancel is of one job.
    let next = world.enqueue().await;
    world.succeeded(next).await;
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_job_that_waits_for_a_lock_is_cancelled_within_two_seconds() {
    let world = World::new().await;
    let holder = hold(&world).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    waiting(&world).await;
    cancelled_in_time(&world, &daemon, id).await;
    holder.close().await.unwrap();
}

#[tokio::test]
async fn a_job_whose_pg_dump_reads_catalogs_is_cancelled_within_two_seconds() {
    let mut world = World::new().await;
    let fake = FakePgDump::new(world.cluster.major(), &[], Then::Hang);
    world.use_fake(&fake);
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world
        .until(id, "the catalogs are read", |status| {
            status.phase.as_deref() == Some("catalog")
        })
        .await;
    eventually("pg_dump runs", SOON, async || fake.runs().first().map(drop)).await;
    cancelled_in_time(&world, &daemon, id).await;
    assert!(!Path::new(&format!("/proc/{}", fake.runs()[0].pid)).exists());
}

#[tokio::test]
async fn a_job_whose_pg_dump_is_stopped_is_cancelled_within_two_seconds() {
    let world = World::new().await;
    fill(&world.shop, 30).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.dumping(id).await;
    let pid: Pid = daemon.pg_dumps()[0];
    kill_process_group(pid, Signal::STOP).unwrap();
    cancelled_in_time(&world, &daemon, id).await;
}

#[tokio::test]
async fn a_queued_job_is_cancelled_at_once_and_never_starts() {
    let world = World::new().await;
    let id = world.enqueue().await;
    assert_eq!(world.cancel(id).await, Cancelled::Cancelled);
    assert_eq!(world.status(id).await.state, JobState::Cancelled);
    let _daemon = world.daemon().await;
    let next = world.enqueue().await;
    world.succeeded(next).await;
    let status = world.status(id).await;
    assert_eq!((status.state, status.attempt), (JobState::Cancelled, 0));
    assert_eq!(world.ends(id).await, []);
    assert_eq!(world.cancel(id).await, Cancelled::AlreadyCancelled);
}

#[tokio::test]
async fn a_cancel_after_the_end_changes_nothing_and_says_so() {
    let mut world = World::new().await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let before = world.succeeded(id).await;
    assert_eq!(world.cancel(id).await, Cancelled::AlreadySucceeded);
    assert_eq!(world.status(id).await, before);
    world.assert_clean(1).await;

    let fake = FakePgDump::new(world.cluster.major(), &[], Then::Exit(1))
        .says("pg_dump: error: aborting because of server version mismatch\n");
    world.use_fake(&fake);
    drop(_daemon);
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let before = world.failed(id).await;
    assert_eq!(world.cancel(id).await, Cancelled::AlreadyFailed);
    assert_eq!(world.status(id).await, before);
    assert_eq!(world.cancel(Uuid::new_v4()).await, Cancelled::NotFound);
}

#[tokio::test]
async fn a_cancel_whose_notification_is_lost_works_at_the_next_heartbeat() {
    let mut world = World::new().await;
    world.set("queue", "listen", "false");
    world.set("daemon", "poll_interval", quoted("200ms"));
    let holder = hold(&world).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    waiting(&world).await;
    let mut silent = world.queue.connect().await;
    sqlx::raw_sql("SET pgdumpd.notify = off")
        .execute(&mut silent)
        .await
        .unwrap();
    let said = pgdumpd_client::cancel(&mut silent, id).await.unwrap();
    assert_eq!(said, Cancelled::Cancelling);
    seen_cancelled(&world, &daemon, id).await;
    holder.close().await.unwrap();
}

#[tokio::test]
async fn a_notification_makes_a_cancel_work_long_before_the_next_heartbeat() {
    let mut world = World::new().await;
    world.set("daemon", "heartbeat", quoted("30s"));
    world.set("daemon", "lease", quoted("5m"));
    world.set("daemon", "poll_interval", quoted("30s"));
    let holder = hold(&world).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    waiting(&world).await;
    cancelled_in_time(&world, &daemon, id).await;
    holder.close().await.unwrap();
}

#[tokio::test]
async fn a_cancel_in_an_open_transaction_stalls_nothing() {
    let world = World::new().await;
    fill(&world.shop, 5).await;
    let holder = hold(&world).await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    waiting(&world).await;
    let mut connection = world.queue.connect().await;
    let mut open = connection.begin().await.unwrap();
    let said = pgdumpd_client::cancel(&mut *open, id).await.unwrap();
    assert_eq!(said, Cancelled::Cancelling);
    holder.close().await.unwrap();
    // Heartbeats, progress and the end are written beside it.
    let status = world.succeeded(id).await;
    assert_eq!((status.rescues, status.attempt), (0, 1));
    open.rollback().await.unwrap();
    assert_eq!(world.status(id).await, status);
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_cancel_that_commits_after_the_success_changes_nothing() {
    let world = World::new().await;
    let holder = hold(&world).await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    waiting(&world).await;
    let mut connection = world.queue.connect().await;
    let mut open = connection.begin().await.unwrap();
    pgdumpd_client::cancel(&mut *open, id).await.unwrap();
    holder.close().await.unwrap();
    world.succeeded(id).await;
    open.commit().await.unwrap();
    assert_eq!(world.status(id).await.state, JobState::Succeeded);
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_cancel_of_a_queued_job_that_is_rolled_back_lets_it_run() {
    let world = World::new().await;
    let id = world.enqueue().await;
    let mut connection = world.queue.connect().await;
    let mut open = connection.begin().await.unwrap();
    let said = pgdumpd_client::cancel(&mut *open, id).await.unwrap();
    assert_eq!(said, Cancelled::Cancelled);
    let _daemon = world.daemon().await;
    // Its row is locked meanwhile: others pass it by.
    let other = world.enqueue().await;
    world.succeeded(other).await;
    assert_eq!(world.status(id).await.state, JobState::Queued);
    open.rollback().await.unwrap();
    world.succeeded(id).await;
}

#[tokio::test]
async fn a_cancel_beats_the_next_attempt() {
    let mut world = World::new().await;
    let fake = FakePgDump::new(world.cluster.major(), &[], Then::Exit(1));
    world.use_fake(&fake);
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.requeued(id).await;
    assert_eq!(world.cancel(id).await, Cancelled::Cancelled);
    let status = world.status(id).await;
    assert_eq!((status.state, status.attempt), (JobState::Cancelled, 1));
    assert_eq!(fake.runs().len(), 1);
}

#[tokio::test]
async fn a_failure_after_the_request_to_cancel_ends_the_job_as_cancelled() {
    let mut world = World::new().await;
    // The daemon hears of the cancel late, and pg_dump fails before.
    world.set("queue", "listen", "false");
    world.set("daemon", "heartbeat", quoted("20s"));
    world.set("daemon", "lease", quoted("2m"));
    let fake = FakePgDump::new(world.cluster.major(), &[], Then::Hang);
    world.use_fake(&fake);
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let pid = eventually("pg_dump runs", SOON, async || {
        Some(fake.runs().first()?.pid)
    })
    .await;
    assert_eq!(world.cancel(id).await, Cancelled::Cancelling);
    kill_process_group(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let status = world.ended(id).await;
    assert_eq!(status.state, JobState::Cancelled, "{status:#?}");
    assert_eq!(status.error, None);
    assert!(Duration::from_secs_f64(world.cancel_took(id).await) < Duration::from_secs(10));
    world.assert_clean(0).await;
}

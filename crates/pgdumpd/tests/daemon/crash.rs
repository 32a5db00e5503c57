//! Daemons that die or stand still, and what others make of the jobs they had.

use std::time::Duration;

use pgdumpd_client::{Cancelled, JobState, JobStatus};
use pgdumpd_testkit::{contents, eventually, fill};
use rustix::process::Signal;

use crate::harness::{Daemon, SOON, World, quoted};
use crate::scenes::has_ended;

/// A world whose dumps take seconds.
async fn slow() -> World {
    let mut world = World::new().await;
    world.set("targets.shop", "compression", "\"gzip:9\"");
    fill(&world.shop, 20).await;
    world
}

/// How often pg_dump was started, by these daemons.
fn dumps(daemons: &[&Daemon]) -> usize {
    let of = |daemon: &&Daemon| daemon.log().matches("pg_dump started").count();
    daemons.iter().map(of).sum()
}

#[tokio::test]
async fn a_job_whose_daemon_is_killed_in_mid_dump_is_finished_by_another() {
    let mut world = slow().await;
    let mut killed = world.daemon().await;
    let id = world.enqueue().await;
    let dump = world.frozen(id, &killed).await;
    killed.kill();
    assert_eq!(world.files().len(), 1, "the partial object");

    world.set("targets.shop", "compression", "\"none\"");
    let _rescuer = world.daemon().await;
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (2, 1));
    assert_eq!(world.outcomes(id).await, ["lost", "succeeded"]);
    world.assert_clean(1).await;
    dump.gone().await;
    let restored = world.restore(&world.backups()[0]).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);
}

#[tokio::test]
async fn a_dump_that_outlives_its_daemon_in_a_lock_queue_is_ended_by_the_rescuer() {
    let world = World::new().await;
    let holder = world.hold_dumps().await;
    let mut killed = world.daemon().await;
    let id = world.enqueue().await;
    let orphan = world.held(&killed).await;
    killed.kill();
    assert!(!has_ended(orphan), "it waits for its lock");
    let orphaned = world.dump_sessions().await;
    assert_eq!(orphaned.len(), 1);

    let rescuer = world.daemon().await;
    let dump = world.held(&rescuer).await;
    assert!(!world.dump_sessions().await.contains(&orphaned[0]));
    eventually("the orphaned pg_dump has ended", SOON, async || {
        has_ended(orphan).then_some(())
    })
    .await;
    assert!(!has_ended(dump));
    drop(holder);
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (2, 1));
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_backup_whose_daemon_was_killed_before_it_ended_the_row_is_adopted_and_not_dumped_again()
{
    let world = World::new().await;
    fill(&world.shop, 1).await;
    let (id, killed) = world.killed_before_its_row_ends().await;
    let finished = world.backups();
    assert_eq!(finished.len(), 1);
    let bytes = std::fs::read(&finished[0]).unwrap();

    let rescuer = world.daemon().await;
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (2, 1));
    assert_eq!(status.progress, 100.0);
    assert_eq!(world.outcomes(id).await, ["lost", "succeeded"]);
    assert_eq!(dumps(&[&killed, &rescuer]), 1);
    world.assert_clean(1).await;
    assert_eq!(world.backups(), finished);
    assert_eq!(std::fs::read(&finished[0]).unwrap(), bytes);
    let attempts = world.attempts(id).await;
    assert_eq!(attempts[1].object_key, attempts[0].object_key);
    let (key, sha256): (String, String) = sqlx::query_as(
        "SELECT c.object_key, j.sha256 FROM pgdumpd.backup_copies AS c
         JOIN pgdumpd.backup_jobs AS j ON j.id = c.job_id WHERE c.job_id = $1",
    )
    .bind(id)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(Some(&key), attempts[0].object_key.as_ref());
    let manifest =
        std::fs::read_to_string(finished[0].with_extension("dump.manifest.json")).unwrap();
    assert!(manifest.contains(&sha256), "{manifest}");
}

#[tokio::test]
async fn a_job_that_kills_its_daemons_ends_and_nothing_of_it_is_left() {
    let mut world = World::new().await;
    world.set("daemon", "max_rescues", "1");
    let _holder = world.hold_dumps().await;
    let id = world.enqueue().await;
    let mut orphans = Vec::new();
    for _ in 0..2 {
        let mut daemon = world.daemon().await;
        orphans.push(world.held(&daemon).await);
        daemon.kill();
    }
    assert_eq!(world.dump_sessions().await.len(), 1, "of the second");
    assert_eq!(world.files().len(), 1, "the partial object of the second");

    let survivor = world.daemon().await;
    let status = world.failed(id).await;
    assert_eq!(status.error_code.as_deref(), Some("daemon_died"));
    assert_eq!(world.outcomes(id).await, ["lost", "lost"]);
    eventually("nothing is left of it", SOON, async || {
        let ended = orphans.iter().all(|orphan| has_ended(*orphan));
        let sessions = world.dump_sessions().await;
        (ended && sessions.is_empty() && world.files().is_empty()).then_some(())
    })
    .await;
    assert_eq!(dumps(&[&survivor]), 0);
}

#[tokio::test]
async fn a_daemon_that_wakes_up_after_its_lease_publishes_nothing_though_its_dump_is_whole() {
    let world = World::new().await;
    let holder = world.hold_dumps().await;
    let stopped = world.daemon().await;
    let id = world.enqueue().await;
    let dump = world.held(&stopped).await;
    stopped.signal(Signal::STOP);
    // Its pg_dump comes to a good end: all that is left to do is to read the pipe and to publish.
    drop(holder);
    eventually("pg_dump has ended", SOON, async || {
        has_ended(dump).then_some(())
    })
    .await;

    let other = world.daemon().await;
    let status = world.succeeded(id).await;
    let backups = world.backups();
    stopped.signal(Signal::CONT);
    eventually("the stopped daemon gives up", SOON, async || {
        stopped.log().contains("abandoned the job").then_some(())
    })
    .await;
    assert_eq!(dumps(&[&stopped, &other]), 2);
    assert_eq!(world.status(id).await, status);
    assert_eq!(world.outcomes(id).await, ["lost", "succeeded"]);
    assert_eq!(status.rescues, 1);
    world.assert_clean(1).await;
    assert_eq!(world.backups(), backups);
    // And it is of use again.
    other.stop().await;
    let next = world.enqueue().await;
    world.succeeded(next).await;
    tokio::time::timeout(Duration::from_secs(30), stopped.stop())
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_lost_attempt_of_a_target_with_another_name_by_now_left_is_removed() {
    let mut world = slow().await;
    let mut killed = world.daemon().await;
    let id = world.enqueue().await;
    let dump = world.frozen(id, &killed).await;
    killed.kill();
    assert_eq!(world.files().len(), 1, "the partial object");

    world.unset("targets.shop");
    let url = quoted(&world.shop.url());
    world.set("targets.store", "url", url);
    let _daemon = world.daemon().await;
    let queued = |status: &JobStatus| status.state == JobState::Queued;
    let status = world.until(id, "it is queued again", queued).await;
    assert!(status.unserved, "{status:#?}");
    assert_eq!(world.cancel(id).await, Cancelled::Cancelled);
    eventually("the partial object is gone", SOON, async || {
        world.files().is_empty().then_some(())
    })
    .await;
    dump.gone().await;
}

#[tokio::test]
async fn what_a_cancelled_job_could_not_remove_is_removed_later() {
    let world = World::new().await;
    let holder = world.hold_dumps().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.held(&daemon).await;
    world.cancel(id).await;
    world.ended(id).await;
    drop(holder);
    daemon.stop().await;
    // As if its storage had been away at the end.
    sqlx::query("UPDATE pgdumpd.backup_attempts SET cleared_at = NULL WHERE job_id = $1")
        .bind(id)
        .execute(&world.pool)
        .await
        .unwrap();
    let attempts = world.attempts(id).await;
    assert_eq!(attempts[0].outcome, "cancelled");
    let key = attempts[0].object_key.clone().unwrap();
    let left = world.storage().join(format!("{key}#1"));
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "half an archive").unwrap();

    let _daemon = world.daemon().await;
    eventually("the partial file is gone", SOON, async || {
        (!left.exists()).then_some(())
    })
    .await;
    eventually("it is recorded", SOON, async || {
        let recorded: bool = sqlx::query_scalar(
            "SELECT cleared_at IS NOT NULL FROM pgdumpd.backup_attempts WHERE job_id = $1",
        )
        .bind(id)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        recorded.then_some(())
    })
    .await;
    assert_eq!(world.status(id).await.state, JobState::Cancelled);
}

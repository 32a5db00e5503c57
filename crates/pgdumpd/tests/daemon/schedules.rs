//! `schedule`: daemons that ask for backups themselves.

use pgdumpd_testkit::eventually;
use rustix::process::Signal;
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};

/// Due at the beginning of a year: during no test.
const YEARLY: &str = "0 0 1 1 *";
const NEXT: &str = "next scheduled backup";

async fn said(daemon: &Daemon, words: &str, times: usize) {
    eventually("the daemon has said so", SOON, async || {
        (daemon.log().matches(words).count() >= times).then_some(())
    })
    .await;
}

async fn jobs(world: &World) -> Vec<(Uuid, String)> {
    sqlx::query_as("SELECT id, spec ->> 'label' FROM pgdumpd.backup_jobs")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

/// As if no daemon had run since the last century.
async fn set_back(world: &World) {
    world
        .queue
        .execute("UPDATE pgdumpd.schedules SET due_at = '1999-06-01 00:00+00'")
        .await;
}

#[tokio::test]
async fn two_daemons_catch_up_once_with_what_was_missed_for_years() {
    let mut world = World::new().await;
    world.set("targets.shop", "schedule", quoted(YEARLY));
    world.set("targets.shop", "schedule_zone", quoted("Pacific/Auckland"));
    let first = world.daemon().await;
    said(&first, NEXT, 1).await;
    assert!(
        first.log().contains("schedule=0 0 1 1 * Pacific/Auckland"),
        "{}",
        first.log()
    );
    first.stop().await;
    assert_eq!(
        jobs(&world).await,
        [],
        "a new schedule is not due for the past"
    );
    set_back(&world).await;
    let daemons = [world.daemon_unready(), world.daemon_unready()];
    for daemon in &daemons {
        said(daemon, NEXT, 1).await;
    }
    let found = jobs(&world).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, "scheduled");
    world.succeeded(found[0].0).await;
    world.assert_clean(1).await;
    let enqueued = daemons
        .iter()
        .filter(|daemon| daemon.log().contains("enqueued a scheduled backup"))
        .count();
    assert_eq!(enqueued, 1);
}

#[tokio::test]
async fn a_schedule_that_a_reload_brings_is_known_at_once() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    world.set("targets.shop", "schedule", quoted(YEARLY));
    daemon.signal(Signal::HUP);
    said(&daemon, NEXT, 1).await;
    set_back(&world).await;
    daemon.signal(Signal::HUP);
    said(&daemon, NEXT, 2).await;
    let found = jobs(&world).await;
    assert_eq!(found.len(), 1);
    world.succeeded(found[0].0).await;
}

#[tokio::test]
async fn a_schedule_of_a_whole_server_is_one_of_each_database() {
    let mut world = World::new().await;
    world.set("targets.shop", "databases", quoted("*"));
    world.set("targets.shop", "schedule", quoted(YEARLY));
    let daemon = world.daemon().await;
    let name = format!("shop/{}", world.shop.name());
    said(&daemon, &format!("target={name}"), 1).await;
    let known: bool =
        sqlx::query_scalar("SELECT count(*) > 1 AND bool_or(target = $1) FROM pgdumpd.schedules")
            .bind(&name)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!(known);
}

//! A queue that cannot be reached, for one daemon or for all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{Cluster, Proxy, cluster, eventually, fill};
use sqlx::Executor as _;

use crate::harness::{Daemon, SOON, World, quoted};
use crate::scenes::has_ended;

/// A daemon that reaches its queue through a proxy; daemons started later reach it directly.
async fn behind_a_proxy(world: &mut World) -> (Daemon, Proxy) {
    let proxy = Proxy::start(world.cluster).await;
    let role = world.cluster.role("SUPERUSER").await;
    let url = world.queue.url_on_port(&role, proxy.port());
    world.set("queue", "url", quoted(&url));
    let daemon = world.daemon().await;
    world.set("queue", "url", quoted(&world.queue.url()));
    (daemon, proxy)
}

/// The network between one daemon and the queue breaks as `fail` says, while its dump runs and another
/// daemon is there to take over.
async fn is_cut_off(fail: impl Fn(&Proxy)) {
    let mut world = World::new().await;
    let holder = world.hold_dumps().await;
    let (lonely, proxy) = behind_a_proxy(&mut world).await;
    let id = world.enqueue().await;
    let dump = world.held(&lonely).await;
    let other = world.daemon().await;
    fail(&proxy);
    let stopped: DateTime<Utc> = eventually("the lonely daemon stops its dump", SOON, async || {
        if has_ended(dump) {
            Some(world.now().await)
        } else {
            None
        }
    })
    .await;
    let attempts = eventually("the other has claimed the job", SOON, async || {
        Some(world.attempts(id).await).filter(|attempts| attempts.len() == 2)
    })
    .await;
    assert!(
        stopped < attempts[1].started_at,
        "stopped at {stopped}, {attempts:#?}"
    );
    let rescued = world.held(&other).await;
    proxy.heal();
    // It is back, and looks for work: the job is not its own any more.
    eventually("the lonely daemon has given the job up", SOON, async || {
        lonely.log().contains("abandoned the job").then_some(())
    })
    .await;
    eventually("the lonely daemon is seen again", SOON, async || {
        let seen: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pgdumpd.workers WHERE id = $1 AND last_seen_at > $2",
        )
        .bind(attempts[0].worker_id)
        .bind(attempts[1].started_at)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        (seen > 0).then_some(())
    })
    .await;
    assert!(!has_ended(rescued));
    assert_eq!(world.status(id).await.state, JobState::Running);
    drop(holder);
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (2, 1));
    assert_eq!(world.outcomes(id).await, ["lost", "succeeded"]);
    world.assert_clean(1).await;
    lonely.stop().await;
    assert_eq!(world.status(id).await, status);
}

#[tokio::test]
async fn a_daemon_whose_queue_falls_silent_stops_its_dump_before_another_takes_it_over() {
    is_cut_off(Proxy::hold).await;
}

#[tokio::test]
async fn a_daemon_whose_connections_to_the_queue_are_reset_stops_its_dump_before_another_takes_it_over()
 {
    is_cut_off(Proxy::cut).await;
}

#[tokio::test]
async fn a_queue_that_is_down_for_less_than_a_lease_stops_no_dump_and_costs_no_rescue() {
    let queues = Cluster::start_private(&[]).await;
    let mut world = World::on(&queues, cluster().await).await;
    world.set("daemon", "lease", quoted("10s"));
    let holder = world.hold_dumps().await;
    let owner = world.daemon().await;
    let id = world.enqueue().await;
    let dump = world.held(&owner).await;
    let other = world.daemon().await;
    let before = world.status(id).await;
    queues.stop().await;
    for daemon in [&owner, &other] {
        eventually("the daemons have noticed", SOON, async || {
            daemon
                .log()
                .contains("the queue cannot be queried for jobs")
                .then_some(())
        })
        .await;
    }
    eventually("heartbeats have failed", SOON, async || {
        let failures = owner.log().matches("a heartbeat failed").count();
        (failures >= 4).then_some(())
    })
    .await;
    assert!(!has_ended(dump));
    queues.start().await;
    eventually("a heartbeat has come through", SOON, async || {
        let renewed: bool = sqlx::query_scalar(
            "SELECT lease_expires_at > clock_timestamp() + interval '9 seconds' FROM pgdumpd.backup_jobs WHERE id = $1",
        )
        .bind(id)
        .fetch_one(&world.pool)
        .await
        .ok()?;
        renewed.then_some(())
    })
    .await;
    assert!(!has_ended(dump));
    drop(holder);
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (1, 0));
    assert_eq!(status.started_at, before.started_at);
    assert_eq!(world.outcomes(id).await, ["succeeded"]);
    world.assert_clean(1).await;
    // Both work on.
    let next = world.enqueue().await;
    world.succeeded(next).await;
    owner.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_end_whose_acknowledgement_is_lost_is_written_once_and_known_to_the_daemon() {
    let mut world = World::new().await;
    world.set("daemon", "lease", quoted("10s"));
    fill(&world.shop, 1).await;
    let dumps = world.hold_dumps().await;
    let (daemon, proxy) = behind_a_proxy(&mut world).await;
    let id = world.enqueue().await;
    world.held(&daemon).await;
    // The statement that ends the row gets as far as the attempt's row, and waits there.
    let mut holder = world.queue.connect().await;
    holder
        .execute("BEGIN; SELECT FROM pgdumpd.backup_attempts FOR UPDATE")
        .await
        .unwrap();
    drop(dumps);
    eventually("the row's end waits for the lock", SOON, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '-- Ends a job as succeeded%'",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    proxy.hold();
    holder.execute("ROLLBACK").await.unwrap();
    let status = world.succeeded(id).await;
    assert!(!daemon.log().contains(" succeeded "), "{}", daemon.log());
    proxy.cut();
    proxy.heal();
    eventually("the daemon knows of its success", SOON, async || {
        daemon.log().contains(" succeeded ").then_some(())
    })
    .await;
    assert_eq!(world.status(id).await, status);
    assert_eq!((status.attempt, status.rescues), (1, 0));
    assert_eq!(world.outcomes(id).await, ["succeeded"]);
    world.assert_clean(1).await;
    daemon.stop().await;
}

#[tokio::test]
async fn without_notifications_everything_works_by_polling() {
    let mut world = World::new().await;
    world.set("queue", "listen", "false");
    world
        .queue
        .execute(&format!(
            "ALTER DATABASE {} SET pgdumpd.notify = 'off'",
            world.queue.name()
        ))
        .await;
    // The settings of a database hold for new sessions.
    world.pool = world.queue.qualified_pool().await;
    let off: String = sqlx::query_scalar("SHOW pgdumpd.notify")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(off, "off");
    let daemon = world.daemon().await;
    let done = world.enqueue().await;
    world.succeeded(done).await;

    let holder = world.hold_dumps().await;
    let cancelled = world.enqueue().await;
    world.held(&daemon).await;
    let answer = pgdumpd_client::cancel(&world.pool, cancelled)
        .await
        .unwrap();
    let status = world.ended(cancelled).await;
    assert_eq!(status.state, JobState::Cancelled, "{answer:?} {status:#?}");
    drop(holder);

    let due = world.now().await + Duration::from_secs(1);
    let later = world
        .enqueue_request(BackupRequest::new("shop").run_at(due))
        .await;
    world.succeeded(later).await;
    world.assert_clean(2).await;
}

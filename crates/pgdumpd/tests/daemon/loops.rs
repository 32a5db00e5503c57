//! What the daemon's loops do beside its jobs: waiting for the queue, and for servers that are down.

use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use pgdumpd_client::BackupRequest;
use pgdumpd_testkit::{Cluster, cluster, eventually};

use crate::harness::{SOON, World, quoted};

#[tokio::test]
async fn a_daemon_that_migrates_at_its_start_waits_for_its_queue() {
    let queues = Cluster::start_private(&[]).await;
    let mut world = World::on(&queues, cluster().await).await;
    world.set("queue", "migrate_at_start", "true");
    queues.stop().await;
    let path = world.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(SOON)).unwrap();
    let begun = Instant::now();
    let daemon = world.daemon_unready_with(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "900000"),
    ]);
    // A host's boot must not wait for the queue's; and the watchdog is fed from then on.
    let mut told = String::new();
    while !(told.contains("READY=1") && told.matches("WATCHDOG=1").count() > 4) {
        let mut buffer = [0; 4096];
        let length = systemd.recv(&mut buffer).unwrap();
        told.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(
        told.contains("STATUS=waiting for the queue's database"),
        "{told}"
    );
    let log = daemon.log();
    assert!(
        log.contains("the queue cannot be reached; trying again"),
        "{log}"
    );
    assert!(log.contains("Check that the queue's server runs"), "{log}");
    assert!(!log.contains("pool timed out"), "{log}");
    assert!(begun.elapsed() < SOON);
    queues.start().await;
    eventually("the daemon has started", SOON, async || {
        daemon.log().contains(" started ").then_some(())
    })
    .await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_queue_that_refuses_the_daemon_ends_it() {
    let mut world = World::new().await;
    let url = world
        .queue
        .url()
        .replace(world.queue.name(), "no_such_queue");
    world.set("queue", "url", quoted(&url));
    for migrates in ["true", "false"] {
        world.set("queue", "migrate_at_start", migrates);
        let mut daemon = world.daemon_unready();
        assert!(!daemon.exited().await);
        assert!(daemon.log().contains("no_such_queue"), "{}", daemon.log());
    }
}

#[tokio::test]
async fn a_server_that_was_down_at_the_start_is_served_soon_after_it_is_up() {
    let server = Cluster::start_private(&[]).await;
    let database = server.database().await;
    let mut world = World::new().await;
    world.set("targets.all", "url", quoted(&database.url()));
    world.set("targets.all", "databases", quoted("*"));
    server.stop().await;
    let daemon = world.daemon().await;
    server.start().await;
    let name = format!("all/{}", database.name());
    eventually("the database is served", SOON * 2, async || {
        let served: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pgdumpd.workers WHERE $1 = ANY (targets))",
        )
        .bind(&name)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        served.then_some(())
    })
    .await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_whose_address_leads_to_another_queue_stops_its_dumps_takes_nothing_and_ends() {
    let world = World::new().await;
    let _lock = world.hold_dumps().await;
    let mut daemon = world.daemon().await;
    world.enqueue().await;
    world.held(&daemon).await;
    let known = world.queue_id().await;
    let other = world.cluster.database().await;
    let pool = other.pool().await;
    pgdumpd::migrate::migrate(&pool, &Default::default())
        .await
        .unwrap();
    pgdumpd_client::enqueue(&pool, &BackupRequest::new("shop"))
        .await
        .unwrap();
    pool.close().await;

    // As after a failover or a change of a name: the connections end, and new ones lead elsewhere.
    let (name, other) = (world.queue.name(), other.name());
    for statement in [
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
        ),
        format!("ALTER DATABASE {name} RENAME TO {name}_old"),
        format!("ALTER DATABASE {other} RENAME TO {name}"),
    ] {
        world.shop.execute(&statement).await;
    }
    assert!(!daemon.exited().await, "{}", daemon.log());
    let found = world.queue_id().await;
    let told = format!("the queue has the id {found} now, not {known} as before");
    assert!(daemon.log().contains(&told), "{}", daemon.log());
    assert!(daemon.log().contains("hint: "), "{}", daemon.log());
    assert_eq!(world.dump_sessions().await, Vec::<String>::new());
    let (state, attempt, workers): (String, i16, i64) = sqlx::query_as(
        "SELECT state, attempt, (SELECT count(*) FROM pgdumpd.workers) FROM pgdumpd.backup_jobs",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!((state.as_str(), attempt, workers), ("queued", 0, 0));
}

//! The queue behind a transaction pooler's rules, and behind a network that dies.

use std::time::{Duration, Instant};

use pgdumpd::queue::{Beat, Finished, Outcome, Queue, QueueError, Wake};
use pgdumpd_testkit::{Proxy, cluster};

use crate::fixture::{LEASE, config, fixture, names, progress, success};

#[tokio::test]
async fn pooled_mode_runs_a_job_leaves_no_statement_behind_and_sets_nothing_at_the_start() {
    let f = fixture().await;
    let mut config = config(&f.db.url_as(&f.daemon.name));
    config.pooled = true;
    let queue = Queue::connect(&config).await.unwrap();
    f.enqueue("a", &[]).await;
    f.enqueue("a", &[]).await;
    let job = queue
        .claim(f.worker, &names(&["a"]), LEASE)
        .await
        .unwrap()
        .unwrap();
    let beat = queue
        .heartbeat(&job.lease, LEASE, &progress(1.0))
        .await
        .unwrap();
    assert_eq!(beat, Beat::Renewed { cancel: false });
    assert!(
        queue
            .claim(f.worker, &names(&["a"]), LEASE)
            .await
            .unwrap()
            .is_none()
    );
    let finished = queue
        .finish(&job.lease, &Outcome::Succeeded(Box::new(success())))
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("succeeded"));
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    let open: i64 = sqlx::query_scalar(open).fetch_one(&f.admin).await.unwrap();
    assert_eq!(open, 0, "no transaction stays open");
}

#[tokio::test]
async fn a_heartbeat_into_a_dead_network_gives_up_in_a_third_of_the_lease_and_the_next_one_works() {
    let f = fixture().await;
    let proxy = Proxy::start(cluster().await).await;
    let queue = Queue::connect(&config(&f.db.url_on_port(&f.daemon, proxy.port())))
        .await
        .unwrap();
    let job = f.running("a").await;
    let lease = Duration::from_secs(3);
    let alive = Beat::Renewed { cancel: false };
    assert_eq!(
        queue
            .heartbeat(&job.lease, lease, &progress(1.0))
            .await
            .unwrap(),
        alive
    );
    proxy.hold();
    let began = Instant::now();
    let error = queue
        .heartbeat(&job.lease, lease, &progress(2.0))
        .await
        .unwrap_err();
    assert!(matches!(error, QueueError::Timeout(_)), "{error:?}");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    proxy.heal();
    assert_eq!(
        queue
            .heartbeat(&job.lease, LEASE, &progress(3.0))
            .await
            .unwrap(),
        alive
    );
    proxy.cut();
    proxy.heal();
    // The pool finds the dead connection by itself, or the caller's next try does.
    let mut beat = queue.heartbeat(&job.lease, LEASE, &progress(4.0)).await;
    if beat.is_err() {
        beat = queue.heartbeat(&job.lease, LEASE, &progress(4.0)).await;
    }
    assert_eq!(beat.unwrap(), alive);
}

#[tokio::test]
async fn a_listener_whose_connections_do_not_last_connects_less_and_less_often() {
    let f = fixture().await;
    let proxy = Proxy::start(cluster().await).await;
    let queue = Queue::connect(&config(&f.db.url_on_port(&f.daemon, proxy.port())))
        .await
        .unwrap();
    let mut wakes = queue.listener();
    let mut connections = 0;
    let end = tokio::time::Instant::now() + Duration::from_secs(8);
    while let Ok(wake) = tokio::time::timeout_at(end, wakes.next()).await {
        assert_eq!(wake, Wake::Connected);
        connections += 1;
        proxy.cut();
        proxy.heal();
    }
    // Pauses of up to 0.5, 1, 2 and 4 s, and at least half of each.
    assert!((2..=7).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_password_that_changes_in_its_file_is_used_by_the_next_connection() {
    let f = fixture().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.password");
    std::fs::write(&file, &f.daemon.password).unwrap();
    let mut config = config(&f.db.tcp_url(&f.daemon));
    config.url = config.url.with_password_file(file.clone());
    let queue = Queue::connect(&config).await.unwrap();
    let mut wakes = queue.listener();
    assert_eq!(wakes.next().await, Wake::Connected);
    f.enqueue("a", &[]).await;
    let claimed = queue.claim(f.worker, &names(&["a"]), LEASE).await;
    let job = claimed.unwrap().expect("a job is due");

    f.db.execute(&format!("ALTER ROLE {} PASSWORD 'rotated'", f.daemon.name))
        .await;
    std::fs::write(&file, "rotated\n").unwrap();
    f.db.execute(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
        f.daemon.name
    ))
    .await;
    // Perhaps the first of each finds that its connection is lost.
    let mut beat = queue.heartbeat(&job.lease, LEASE, &progress(1.0)).await;
    if beat.is_err() {
        beat = queue.heartbeat(&job.lease, LEASE, &progress(1.0)).await;
    }
    assert_eq!(beat.unwrap(), Beat::Renewed { cancel: false });
    let mut due = queue.next_due(&names(&["a"])).await;
    if due.is_err() {
        due = queue.next_due(&names(&["a"])).await;
    }
    assert_eq!(due.unwrap(), None);
    let wake = tokio::time::timeout(Duration::from_secs(20), async {
        while wakes.next().await != Wake::Connected {}
    });
    wake.await.expect("the listener connects again");
}

//! Stopping in two stages, reloading, and what systemd is told.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::eventually;
use rustix::process::{Pid, Signal};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};
use crate::scenes::has_ended;

/// A daemon whose dump waits as long as the connection is open.
async fn busy(world: &World) -> (Daemon, Uuid, Pid, PgConnection) {
    let holder = world.hold_dumps().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let dump = world.held(&daemon).await;
    (daemon, id, dump, holder)
}

/// Waits until a line of the daemon's log contains `what`.
async fn says(daemon: &Daemon, what: &str) {
    eventually(what, SOON, async || {
        daemon.log().contains(what).then_some(())
    })
    .await;
}

/// The job is in the queue as if this daemon had never had it.
async fn assert_handed_back(world: &World, id: Uuid, dump: Pid) {
    let status = world.status(id).await;
    assert_eq!(status.state, JobState::Queued, "{status:#?}");
    assert_eq!((status.attempt, status.rescues), (0, 0));
    assert_eq!(status.progress, 0.0);
    let attempts = world.attempts(id).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].outcome, "released");
    assert!(attempts[0].ended_at.is_some());
    assert_eq!(world.files(), Vec::<String>::new());
    assert_eq!(world.dump_sessions().await, Vec::<String>::new());
    assert!(has_ended(dump));
    let workers: i64 = sqlx::query_scalar("SELECT count(*) FROM pgdumpd.workers")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(workers, 0, "the daemon signed off");
}

#[tokio::test]
async fn the_first_sigterm_lets_the_running_dump_finish_and_claims_no_more() {
    let mut world = World::new().await;
    world.add_target("other").await;
    let (mut daemon, running, _, holder) = busy(&world).await;
    daemon.signal(Signal::TERM);
    says(&daemon, "stopping: no more jobs are claimed").await;
    let next = world.enqueue_request(BackupRequest::new("other")).await;
    // A whole poll interval later it is still there, and the job too.
    let told = world.now().await;
    eventually("the daemon goes on while it drains", SOON, async || {
        let seen: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pgdumpd.workers WHERE last_seen_at > $1 + interval '1 second'",
        )
        .bind(told)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        (seen > 0).then_some(())
    })
    .await;
    assert_eq!(world.status(next).await.state, JobState::Queued);
    assert_eq!(world.status(running).await.state, JobState::Running);
    drop(holder);
    assert!(daemon.exited().await, "{}", daemon.log());
    assert_eq!(world.status(running).await.state, JobState::Succeeded);
    assert_eq!(world.status(next).await.state, JobState::Queued);
    assert_eq!(world.outcomes(next).await, Vec::<String>::new());
    world.assert_clean(1).await;
}

#[tokio::test]
async fn the_second_sigterm_stops_the_dump_and_hands_the_job_back_uncounted() {
    let world = World::new().await;
    let (mut daemon, id, dump, holder) = busy(&world).await;
    daemon.signal(Signal::TERM);
    says(&daemon, "stopping: no more jobs are claimed").await;
    assert!(!has_ended(dump));
    daemon.signal(Signal::TERM);
    assert!(daemon.exited().await, "{}", daemon.log());
    assert_handed_back(&world, id, dump).await;
    // The next daemon takes it at once, as a first attempt.
    drop(holder);
    let _next = world.daemon().await;
    let status = world.succeeded(id).await;
    assert_eq!((status.attempt, status.rescues), (1, 0));
    assert_eq!(world.outcomes(id).await, ["released", "succeeded"]);
    world.assert_clean(1).await;
}

#[tokio::test]
async fn the_end_of_the_drains_time_stops_the_dump_and_hands_the_job_back() {
    let mut world = World::new().await;
    world.set("daemon", "drain_timeout", quoted("1s"));
    let (mut daemon, id, dump, _holder) = busy(&world).await;
    daemon.signal(Signal::TERM);
    assert!(daemon.exited().await, "{}", daemon.log());
    assert!(daemon.log().contains("the drain timeout has passed"));
    assert_handed_back(&world, id, dump).await;
}

#[tokio::test]
async fn sighup_makes_a_new_target_served_and_a_broken_file_changes_nothing() {
    let mut world = World::new().await;
    let (daemon, running, _, holder) = busy(&world).await;
    let elsewhere = world.dir.path().join("elsewhere");
    world.add_target("new").await;
    world.set("targets.new", "storage", quoted("second"));
    world.set("targets.shop", "storage", quoted("local"));
    world.set(
        "storages.second",
        "path",
        quoted(&elsewhere.display().to_string()),
    );
    world.set("storages.second", "min_free", quoted("1MiB"));
    let new = world.enqueue_request(BackupRequest::new("new")).await;
    daemon.signal(Signal::HUP);
    world.succeeded(new).await;
    assert!(holds_a_dump(&elsewhere));

    let good = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), "[targets.new]\nurl = 5\n").unwrap();
    daemon.signal(Signal::HUP);
    says(&daemon, "the configuration stays as it was").await;
    let log = daemon.log();
    let line = log
        .lines()
        .find(|line| line.contains("the configuration stays as it was"))
        .unwrap();
    assert!(line.contains("ERROR"), "{line}");
    assert!(log.contains("targets.new.url"), "the key is named: {log}");
    let still = world.enqueue_request(BackupRequest::new("new")).await;
    world.succeeded(still).await;

    // A target that is taken away is not served any more; what runs goes on.
    std::fs::write(world.config(), good).unwrap();
    world.unset("targets.new");
    daemon.signal(Signal::HUP);
    eventually("the target is not served any more", SOON, async || {
        let serving: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pgdumpd.workers WHERE 'new' = ANY (targets)")
                .fetch_one(&world.pool)
                .await
                .unwrap();
        (serving == 0).then_some(())
    })
    .await;
    let orphaned = world.enqueue_request(BackupRequest::new("new")).await;
    drop(holder);
    world.succeeded(running).await;
    let status = world.status(orphaned).await;
    assert_eq!(status.state, JobState::Queued);
    let shown = world.cli(&["status", &orphaned.to_string()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("no daemon serves target"), "{shown}");
    daemon.stop().await;
}

fn holds_a_dump(dir: &Path) -> bool {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            let path = entry.path();
            holds_a_dump(&path) || path.extension().is_some_and(|ending| ending == "dump")
        })
}

#[tokio::test]
async fn systemd_is_told_when_the_daemon_is_ready_alive_busy_and_stopping() {
    let mut world = World::new().await;
    world.set("daemon", "max_jobs", "4");
    let path = world.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut told: Vec<String> = Vec::new();
    let mut hear = async |what: &str| {
        eventually(what, SOON, async || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                told.extend(text.lines().map(str::to_owned));
            }
            let at = told.iter().position(|line| line == what)?;
            told.drain(..=at);
            Some(())
        })
        .await;
    };
    let holder = world.hold_dumps().await;
    let mut daemon = world.daemon_unready_with(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "3000000"),
    ]);
    hear("READY=1").await;
    hear("WATCHDOG=1").await;
    world.enqueue().await;
    hear("STATUS=1 of 4 jobs running").await;
    // The watchdog is fed while a job runs, and while the daemon drains.
    hear("WATCHDOG=1").await;
    hear("WATCHDOG=1").await;
    daemon.signal(Signal::TERM);
    hear("STOPPING=1").await;
    hear("STATUS=waiting for running jobs").await;
    hear("WATCHDOG=1").await;
    hear("WATCHDOG=1").await;
    drop(holder);
    assert!(daemon.exited().await, "{}", daemon.log());
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_watchdog_meant_for_another_process_is_not_fed() {
    let world = World::new().await;
    let path = world.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    let mut daemon = world.daemon_unready_with(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "100000"),
        ("WATCHDOG_PID", "1"),
    ]);
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.signal(Signal::TERM);
    assert!(daemon.exited().await, "{}", daemon.log());
    let mut buffer = [0; 4096];
    let mut told = String::new();
    while let Ok(length) = socket.recv(&mut buffer) {
        told.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(told.contains("READY=1"), "{told}");
    assert!(!told.contains("WATCHDOG=1"), "{told}");
}

#[tokio::test]
async fn what_the_daemon_writes_is_for_its_own_user_alone() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let status = format!("/proc/{}/status", daemon.pid().as_raw_pid());
    let status = std::fs::read_to_string(status).unwrap();
    assert!(status.contains("Umask:\t0077"), "{status}");
    let mut modes = BTreeMap::new();
    for file in world.files() {
        let path = world.storage().join(&file);
        for path in path.ancestors().take_while(|path| *path != world.storage()) {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            modes.insert(path.to_path_buf(), mode & 0o077);
        }
    }
    assert!(modes.len() > 2, "{modes:?}");
    assert!(modes.values().all(|mode| *mode == 0), "{modes:?}");
    daemon.stop().await;
}

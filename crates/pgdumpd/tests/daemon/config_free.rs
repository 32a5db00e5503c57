//! With nothing but `DATABASE_URL`, and a whole server as one target.

use std::path::Path;
use std::process::{Command, Stdio};

use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{Cluster, Database, cluster, eventually, fill};
use rustix::process::Signal;
use sqlx::PgPool;

use crate::harness::{SOON, World, quoted};

/// pgdumpd with an empty environment but for what everybody has.
fn pgdumpd(database: &Database, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgdumpd"));
    command
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", database.url())
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("PATH", cluster_path(home))
        .stdin(Stdio::null());
    command
}

/// Where the clusters' pg_dump was linked, before the machine's own.
fn cluster_path(home: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", home.join("bin").display())
}

#[tokio::test]
async fn a_database_url_is_all_it_takes() {
    let cluster = cluster().await;
    let database = cluster.database().await;
    fill(&database, 1).await;
    let home = tempfile::TempDir::with_prefix("pgdumpd-test-").unwrap();
    std::os::unix::fs::symlink(cluster.bin_dir(), home.path().join("bin")).unwrap();
    let log = home.path().join("log");
    let mut daemon = pgdumpd(&database, home.path(), &["run"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    eventually("the daemon has started", SOON, async || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains(" started ").then_some(())
    })
    .await;
    let output = pgdumpd(
        &database,
        home.path(),
        &["enqueue", database.name(), "--wait"],
    )
    .output()
    .unwrap();
    let listed = pgdumpd(
        &database,
        home.path(),
        &["list", "--storage", "local", "--json"],
    )
    .output()
    .unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon), Signal::TERM).unwrap();
    let stopped = daemon.wait().unwrap();
    assert!(
        output.status.success() && stopped.success(),
        "{output:?} {}",
        std::fs::read_to_string(&log).unwrap()
    );
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let key = listed[0]["object"]["key"].as_str().unwrap();
    let archive = home.path().join("state/pgdumpd/backups").join(key);
    assert!(archive.is_file(), "{}", archive.display());
    let restored = Command::new(cluster.bin("pg_restore"))
        .args(["--file", "/dev/null"])
        .arg(&archive)
        .status()
        .unwrap();
    assert!(restored.success());
}

/// The targets that live daemons serve, sorted.
async fn served(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT DISTINCT unnest(targets) FROM pgdumpd.workers ORDER BY 1")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn every_database_of_a_server_is_a_target_and_a_new_one_after_a_reload() {
    let server: &'static Cluster = Box::leak(Box::new(Cluster::start_private(&[]).await));
    let first = server.database().await;
    let private = server.database().await;
    let mut world = World::on(cluster().await, server).await;
    let others = format!("[{}]", quoted(private.name()));
    world.set("targets.shop", "databases", quoted("*"));
    world.set("targets.shop", "exclude_databases", others);
    let daemon = world.daemon().await;
    let mut expected = vec![
        format!("shop/{}", first.name()),
        format!("shop/{}", world.shop.name()),
        "shop/postgres".to_owned(),
    ];
    expected.sort();
    eventually("all but the excluded one are served", SOON, async || {
        (served(&world.pool).await == expected).then_some(())
    })
    .await;

    let new = server.database().await;
    new.execute("CREATE TABLE orders AS SELECT 1 AS n").await;
    let name = format!("shop/{}", new.name());
    let id = world
        .enqueue_request(BackupRequest::new(name.as_str()))
        .await;
    assert_eq!(world.status(id).await.state, JobState::Queued);
    daemon.signal(Signal::HUP);
    let status = world.succeeded(id).await;
    assert_eq!(status.target, name);
    assert_eq!(world.backups().len(), 1);
    assert!(
        !served(&world.pool)
            .await
            .contains(&format!("shop/{}", private.name()))
    );
    daemon.stop().await;
    server.stop().await;
}

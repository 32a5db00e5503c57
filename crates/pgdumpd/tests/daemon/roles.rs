//! Nobody needs to own the queue but the one who migrates it.

use std::process::{Command, Stdio};

use pgdumpd_testkit::{Database, contents, hostile_public};

use crate::harness::{World, quoted};

#[tokio::test]
async fn a_daemon_and_a_producer_with_no_more_than_their_grants_make_a_backup() {
    let mut world = World::new().await;
    world
        .shop
        .execute("CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) AS n")
        .await;
    let daemon = world.cluster.role("").await;
    let producer = world.cluster.role("").await;
    let backup = world.cluster.role("IN ROLE pg_read_all_data").await;
    world
        .say(&[
            "migrate",
            "--grant-daemon",
            &daemon.name,
            "--grant-producer",
            &producer.name,
        ])
        .code(0);
    world.set("queue", "url", quoted(&world.queue.tcp_url(&daemon)));
    world.set("targets.shop", "url", quoted(&world.shop.tcp_url(&backup)));
    let running = world.daemon().await;
    // The daemon's own checks must be possible to it, too.
    world.say(&["check"]).code(0);

    world.set("queue", "url", quoted(&world.queue.tcp_url(&producer)));
    let said = world.say(&["enqueue", "shop", "--wait"]).code(0);
    let id = said.out.lines().next().unwrap().parse().unwrap();
    let status = world.succeeded(id).await;
    assert_eq!(status.requested_by, producer.name);
    let said = world.say(&["migrate"]).code(1);
    assert!(said.err.contains("hint: "), "{}", said.err);
    let said = world.say(&["delete", &id.to_string()]).code(1);
    assert!(said.err.contains("permission denied"), "{}", said.err);

    let backups = world.backups();
    let restored = world.restore(&backups[0]).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);
    running.stop().await;
}

#[tokio::test]
async fn a_role_without_grants_is_told_what_to_ask_for() {
    let mut world = World::new().await;
    let nobody = world.cluster.role("").await;
    world.set("queue", "url", quoted(&world.queue.tcp_url(&nobody)));
    for arguments in [vec!["status"], vec!["enqueue", "shop"]] {
        let said = world.say(&arguments).code(1);
        assert!(said.err.contains("--grant-producer"), "{}", said.err);
    }
    let mut daemon = world.daemon_unready();
    assert!(!daemon.exited().await, "{}", daemon.log());
    assert!(
        daemon.log().contains("permission denied"),
        "{}",
        daemon.log()
    );
}

/// All of a database's schema, grants included.
fn schema(world: &World, database: &Database) -> String {
    let output = Command::new(world.cluster.bin("pg_dump"))
        .args(["--schema-only", "--dbname", &database.url()])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        // A random key of newer releases.
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn what_migrate_prints_is_what_migrate_does() {
    let mut world = World::new().await;
    let role = world.cluster.role("").await;
    let grant = ["--grant-producer", role.name.as_str()];
    world.say(&[&["migrate"], &grant[..]].concat()).code(0);

    let printed = world.cluster.database().await;
    // As the world's own queue has it.
    hostile_public(&printed).await;
    let sql = world
        .say(&[&["migrate", "--print"], &grant[..]].concat())
        .code(0);
    let file = world.dir.path().join("migrate.sql");
    std::fs::write(&file, &sql.out).unwrap();
    let psql = Command::new(world.cluster.bin("psql"))
        .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", &printed.url(), "-f"])
        .arg(&file)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(
        psql.status.success(),
        "{}",
        String::from_utf8_lossy(&psql.stderr)
    );
    assert_same_lines(&schema(&world, &printed), &schema(&world, &world.queue));
    // And pgdumpd takes it for its own.
    world.set("queue", "url", quoted(&printed.url()));
    let said = world.say(&["migrate"]).code(0);
    assert!(said.out.contains("already"), "{}", said.out);
}

#[track_caller]
fn assert_same_lines(printed: &str, migrated: &str) {
    for (line, (printed, migrated)) in printed.lines().zip(migrated.lines()).enumerate() {
        assert_eq!(printed, migrated, "line {line}");
    }
    assert_eq!(printed.len(), migrated.len());
}

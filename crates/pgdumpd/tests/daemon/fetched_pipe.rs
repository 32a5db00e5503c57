//! Backups that are fetched to standard output.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use pgdumpd_testkit::{contents, fill};

use crate::harness::World;
use crate::harness::copies::copying;

/// Feeds `pg_restore`, which restores into a new database in one transaction; its exit and what the database holds then.
async fn restored(world: &World, archive: &[u8]) -> (Output, BTreeMap<String, (i64, String)>) {
    let database = world.cluster.database().await;
    let mut restore = Command::new(world.cluster.bin("pg_restore"))
        .args(["--exit-on-error", "--single-transaction", "--dbname"])
        .arg(database.url())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = restore.stdin.take().unwrap();
    // It may end before it has read everything.
    let _ = to.write_all(archive);
    drop(to);
    (
        restore.wait_with_output().unwrap(),
        contents(&database).await,
    )
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_backup_is_fetched_into_a_pipe_and_restores_from_there() {
    let mut world = World::new().await;
    world.set("targets.shop", "globals", "\"without-passwords\"");
    fill(&world.shop, 3).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await.to_string();
    daemon.stop().await;
    let fetched = world.cli(&["fetch", &id, "--output", "-"]);
    assert_eq!(fetched.status.code(), Some(0), "{}", error_of(&fetched));
    assert!(
        fetched.stdout == std::fs::read(&world.backups()[0]).unwrap(),
        "it is not the stored archive"
    );
    let (restore, found) = restored(&world, &fetched.stdout).await;
    assert!(restore.status.success(), "{}", error_of(&restore));
    assert_eq!(found, contents(&world.shop).await);
    let globals = world.say(&["fetch", &id, "--globals", "-o", "-"]).code(0);
    assert!(globals.out.contains("CREATE ROLE"), "{}", globals.out);
    let said = world.say(&["fetch", &id, "-o", "-", "--json"]).code(1);
    assert!(
        said.err.contains("both need standard output"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn a_table_is_fetched_into_a_pipe() {
    let world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)",
        )
        .await;
    let daemon = world.daemon().await;
    let id = world.back_up().await.to_string();
    daemon.stop().await;
    let fetched = world.cli(&["fetch", &id, "--table", "public.t", "-o", "-"]);
    assert_eq!(fetched.status.code(), Some(0), "{}", error_of(&fetched));
    let (restore, found) = restored(&world, &fetched.stdout).await;
    assert!(restore.status.success(), "{}", error_of(&restore));
    assert_eq!(found, contents(&world.shop).await);
}

#[tokio::test]
async fn a_damaged_backup_ends_cut_off_in_a_pipe_and_no_other_copy_follows() {
    let world = copying(&["second"]).await;
    // Larger than what is read at once.
    fill(&world.shop, 12).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let path = world.backups().remove(0);
    let mut archive = std::fs::read(&path).unwrap();
    assert!(archive.len() > 3 << 20, "{}", archive.len());
    // In the last bytes, so that everything before is good.
    let at = archive.len() - 20;
    archive[at] ^= 1;
    std::fs::write(&path, &archive).unwrap();
    let fetched = world.cli(&["fetch", &id.to_string(), "-o", "-"]);
    assert_eq!(fetched.status.code(), Some(6), "{}", error_of(&fetched));
    assert!(
        error_of(&fetched).contains("is damaged"),
        "{}",
        error_of(&fetched)
    );
    let written = fetched.stdout.len();
    assert!(
        0 < written && written < archive.len(),
        "{written} of {}",
        archive.len()
    );
    let (restore, found) = restored(&world, &fetched.stdout).await;
    assert!(!restore.status.success());
    assert_eq!(found, BTreeMap::new(), "nothing is restored of it");
    // Into a file, the good copy is fetched.
    let file = world.dir.path().join("back.dump");
    let said = world.say(&["fetch", &id.to_string(), "-o", file.to_str().unwrap()]);
    assert!(said.code(0).err.contains("is damaged"));
}

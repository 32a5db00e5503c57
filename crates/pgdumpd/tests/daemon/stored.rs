//! Stored backups shown, verified and brought back.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use pgdumpd_testkit::{contents, eventually, fill, fill_large_objects};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Executor as _, Row as _};
use uuid::Uuid;

use crate::fsck::{manifest_of, second_backup};
use crate::harness::copies::copying;
use crate::harness::{SOON, World, quoted};

async fn backed_up() -> (World, Uuid) {
    let world = World::new().await;
    fill(&world.shop, 3).await;
    fill_large_objects(&world.shop, 5, 100_000).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.succeeded(id).await;
    assert!(
        status.rows_done.is_some_and(|rows| rows > 1000),
        "{status:?}"
    );
    daemon.stop().await;
    (world, id)
}

fn file(world: &World, name: &str) -> (PathBuf, String) {
    let path = world.dir.path().join(name);
    let text = path.display().to_string();
    (path, text)
}

/// Flips a bit in the middle of a table's data; the table.
fn damage(world: &World, shown: &serde_json::Value, name: &str) {
    let entries = shown["index"]["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["name"] == name).unwrap();
    let at = entry["offset_bytes"].as_u64().unwrap() + entry["block_bytes"].as_u64().unwrap() / 2;
    let path = world.backups().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

#[tokio::test]
async fn show_counts_the_rows_of_every_table_as_the_database_does() {
    let (world, id) = backed_up().await;
    let shown = world
        .say(&["show", &id.to_string(), "--json"])
        .code(0)
        .json();
    let mut connection = world.shop.connect().await;
    let tables = sqlx::query(
        "SELECT format('%I.%I', relnamespace::regnamespace::text, relname) AS name, relnamespace::regnamespace::text AS schema,
                relname::text, (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM ONLY %s', oid::regclass),
                false, true, '')))[1]::text::int8 AS rows
         FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let entries = shown["index"]["entries"].as_array().unwrap();
    let mut total = 0;
    for table in &tables {
        let (name, rows): (String, i64) = (table.get("relname"), table.get("rows"));
        let entry = entries
            .iter()
            .find(|entry| entry["name"] == name && entry["kind"] == "table");
        let entry = entry.unwrap_or_else(|| panic!("{name} is not in {shown}"));
        assert_eq!(entry["rows"], rows, "{name}");
        total += rows;
    }
    assert!(tables.len() > 3);
    assert_eq!(shown["archive"]["rows"], total);
    assert_eq!(shown["archive"]["large_objects"], 5);
    let said = world
        .say(&["show", &id.to_string(), "--storage", "local"])
        .code(0);
    assert!(said.out.contains("the whole database"), "{}", said.out);
    world.say(&["show", &Uuid::new_v4().to_string()]).code(3);
}

#[tokio::test]
async fn what_is_fetched_restores_in_parallel_to_the_same_content() {
    let (world, id) = backed_up().await;
    let (path, text) = file(&world, "back.dump");
    let said = world.say(&["fetch", &id.to_string(), "-o", &text]).code(0);
    assert!(said.out.contains("verified"), "{}", said.out);
    let database = world.cluster.database().await;
    let restored = Command::new(world.cluster.bin("pg_restore"))
        .args(["--exit-on-error", "--jobs=4", "--dbname", &database.url()])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    assert_eq!(contents(&database).await, contents(&world.shop).await);
    // What is there already is not written over, and nothing else is left.
    let said = world.say(&["fetch", &id.to_string(), "-o", &text]).code(1);
    assert!(said.err.contains("exists already"), "{}", said.err);
    let left: Vec<_> = std::fs::read_dir(world.dir.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("partial")),
        "{left:?}"
    );
}

#[tokio::test]
async fn whatever_ends_a_fetch_nothing_is_left_of_its_file() {
    let world = World::new().await;
    fill(&world.shop, 12).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await.to_string();
    daemon.stop().await;
    let folder = world.dir.path().join("fetched");
    std::fs::create_dir(&folder).unwrap();
    for (signal, code) in [
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(130)),
        (Signal::KILL, None),
    ] {
        let mut caught = false;
        for _ in 0..50 {
            let mut fetch = Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
                .arg("--config")
                .arg(world.config())
                .args(["fetch", &id, "-o"])
                .arg(folder.join("file"))
                .spawn()
                .unwrap();
            let pid = Pid::from_child(&fetch);
            while fetch.try_wait().unwrap().is_none() && !writes_into(&fetch, &folder) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = kill_process(pid, signal);
            caught = fetch.wait().unwrap().code() == code;
            if caught {
                break;
            }
            // It was faster.
            let _ = std::fs::remove_file(folder.join("file"));
        }
        assert!(caught, "{signal:?}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{signal:?}");
    }
}

/// Whether the process has a file open in this directory, with bytes in it.
fn writes_into(process: &Child, folder: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.id()));
    let mut files = open.into_iter().flatten().flatten();
    files.any(|entry| {
        let is_here =
            std::fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(folder));
        is_here && entry.path().metadata().is_ok_and(|file| file.len() > 0)
    })
}

#[tokio::test]
async fn damage_is_reported_by_table_and_the_other_tables_still_come_back() {
    let (world, id) = backed_up().await;
    let id = id.to_string();
    world.say(&["verify", &id]).code(0);
    let shown = world.say(&["show", &id, "--json"]).code(0).json();
    let mut by_rows: Vec<_> = shown["index"]["entries"].as_array().unwrap().clone();
    by_rows.retain(|entry| entry["kind"] == "table");
    by_rows.sort_by_key(|entry| std::cmp::Reverse(entry["rows"].as_i64()));
    let (hit, spared) = (&by_rows[0], &by_rows[1]);
    damage(&world, &shown, hit["name"].as_str().unwrap());

    let verdict = world.say(&["verify", &id, "--json"]).code(6).json();
    assert_eq!(verdict["good"], false);
    let damaged = verdict["found"]["damaged"].as_array().unwrap();
    assert_eq!(damaged.len(), 1, "{verdict}");
    assert!(
        damaged[0]["table"]
            .as_str()
            .unwrap()
            .contains(hit["name"].as_str().unwrap())
    );
    let said = world.say(&["verify", &id]).code(6);
    assert!(
        said.out.contains("is damaged") && said.out.contains("  good: "),
        "{}",
        said.out
    );

    let (path, text) = file(&world, "whole.dump");
    let said = world.say(&["fetch", &id, "-o", &text]).code(6);
    assert!(said.err.contains("damaged: "), "{}", said.err);
    assert!(!path.exists());

    let quoted = |entry: &serde_json::Value| {
        format!(
            "\"{}\".\"{}\"",
            entry["schema"].as_str().unwrap(),
            entry["name"].as_str().unwrap()
        )
    };
    let said = world
        .say(&["fetch", &id, "-o", &text, "--table", &quoted(hit)])
        .code(6);
    assert!(said.err.contains("is damaged"), "{}", said.err);
    assert!(!path.exists());
    world
        .say(&["fetch", &id, "-o", &text, "--table", &quoted(spared)])
        .code(0);
    let restored = world.restore(&path).await;
    let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT count(*) FROM {}",
        quoted(spared)
    )))
    .fetch_one(&mut restored.connect().await)
    .await
    .unwrap();
    assert_eq!(Some(count), spared["rows"].as_i64());
}

#[tokio::test]
async fn mistakes_in_asking_for_a_backup_are_reported_with_the_way_out() {
    let (world, id) = backed_up().await;
    let id = id.to_string();
    let (path, text) = file(&world, "none.dump");
    let said = world
        .say(&["fetch", &id, "-o", &text, "--table", "no.such"])
        .code(1);
    assert!(
        said.err.contains("there is no table no.such") && said.err.contains("pgdumpd show"),
        "{}",
        said.err
    );
    let said = world
        .say(&["fetch", &id, "-o", &text, "--table", "such"])
        .code(2);
    assert!(said.err.contains("SCHEMA.NAME"), "{}", said.err);
    let said = world
        .say(&["fetch", &id, "-o", "/no/such/folder/x.dump"])
        .code(1);
    assert!(
        said.err.contains("cannot create /no/such/folder/x.dump"),
        "{}",
        said.err
    );
    let said = world.say(&["verify", &id, "--storage", "tape"]).code(1);
    assert!(
        said.err.contains("Configured storages: local"),
        "{}",
        said.err
    );
    assert!(!path.exists());
    std::fs::remove_file(world.backups().remove(0)).unwrap();
    let said = world.say(&["verify", &id]).code(6);
    assert!(said.err.contains("is missing"), "{}", said.err);
}

#[tokio::test]
async fn a_backup_that_is_gone_from_one_storage_is_damage_although_another_has_it() {
    let world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let id = id.to_string();
    let path = world.backups().remove(0);
    let away = path.with_file_name("away");
    std::fs::rename(manifest_of(&path), &away).unwrap();
    let said = world.say(&["verify", &id]).code(6);
    assert!(
        said.err.contains("storage \"local\"") && said.err.contains("is missing"),
        "{}",
        said.err
    );
    assert!(said.out.contains("is good"), "{}", said.out);
    let (fetched, text) = file(&world, "fetched.dump");
    world.say(&["fetch", &id, "-o", &text]).code(0);
    assert!(fetched.exists());
    // Nowhere any more: the queue says otherwise.
    let copy = world.place("offsite");
    let files = World::files_in(&copy);
    let manifest = files.iter().find(|file| file.ends_with(".manifest.json"));
    std::fs::remove_file(copy.join(manifest.unwrap())).unwrap();
    for command in ["verify", "show"] {
        let said = world.say(&[command, &id]).code(6);
        assert!(
            said.err.contains("hint: Find out who removed it"),
            "{}",
            said.err
        );
    }
    // One that was deleted is not damaged.
    world
        .sql("UPDATE pgdumpd.backup_copies SET state = 'deleted', deleted_at = now()")
        .await;
    world.say(&["verify", &id]).code(3);
}

#[tokio::test]
async fn a_backup_of_the_same_job_that_cannot_be_read_is_reported_although_another_can() {
    let (world, id) = backed_up().await;
    let second = second_backup(&world, id, &world.backups()[0]).await;
    let id = id.to_string();
    std::fs::write(manifest_of(&second), "{}").unwrap();
    let said = world.say(&["verify", &id, "--storage", "local"]).code(6);
    let token = second.file_stem().unwrap().to_string_lossy().into_owned();
    assert!(said.err.contains(&token), "{}", said.err);
    assert!(said.out.contains("is good"), "{}", said.out);
    let (path, text) = file(&world, "first.dump");
    let said = world
        .say(&["fetch", &id, "-o", &text, "--storage", "local"])
        .code(0);
    assert!(said.err.contains(&token), "{}", said.err);
    assert!(path.exists());
}

/// A directory with a pg_dump that takes part in this snapshot.
fn pg_dump_in_snapshot(world: &World, snapshot: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pg_dump");
    let real = world.cluster.bin("pg_dump");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec '{0}' --version\nexec '{0}' \"$@\" --snapshot='{snapshot}'\n",
        real.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

#[tokio::test]
async fn row_counts_are_those_of_the_dumps_own_snapshot_while_others_write() {
    let mut world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE a (id serial, text text); INSERT INTO a (text) SELECT md5(i::text) FROM generate_series(1, 50000) AS i;
             CREATE TABLE b (id serial, text text); INSERT INTO b (text) SELECT md5(i::text) FROM generate_series(1, 50000) AS i;
             CREATE TABLE child () INHERITS (b); INSERT INTO child SELECT * FROM a LIMIT 777;",
        )
        .await;
    let mut snapshot = world.shop.connect().await;
    snapshot
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await
        .unwrap();
    let id: String = sqlx::query_scalar("SELECT pg_export_snapshot()")
        .fetch_one(&mut snapshot)
        .await
        .unwrap();
    let dir = pg_dump_in_snapshot(&world, &id);
    let directory = quoted(dir.path().to_str().unwrap());
    world.set("pg_dump", "directories", format!("[{directory}]"));
    let daemon = world.daemon().await;

    let stop = std::sync::atomic::AtomicBool::new(false);
    let written = std::sync::atomic::AtomicUsize::new(0);
    let writer = async {
        let mut connection = world.shop.connect().await;
        while !stop.load(std::sync::atomic::Ordering::SeqCst) {
            connection
                .execute(
                    "INSERT INTO a (text) SELECT 'new' FROM generate_series(1, 50);
                     DELETE FROM b WHERE id IN (SELECT id FROM ONLY b LIMIT 20);
                     UPDATE child SET text = 'changed' WHERE id % 7 = 0",
                )
                .await
                .unwrap();
            written.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let backup = async {
        // Some have been written before the dump begins, and more come while it runs.
        eventually("the writer writes", SOON, async || {
            (written.load(std::sync::atomic::Ordering::SeqCst) > 3).then_some(())
        })
        .await;
        let job = world.enqueue().await;
        world.succeeded(job).await;
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        job
    };
    let ((), job) = tokio::join!(writer, backup);
    let shown = world
        .say(&["show", &job.to_string(), "--json"])
        .code(0)
        .json();
    let mut now = world.shop.connect().await;
    for table in ["a", "b", "child"] {
        let count = || sqlx::AssertSqlSafe(format!("SELECT count(*) FROM ONLY {table}"));
        let then: i64 = sqlx::query_scalar(count())
            .fetch_one(&mut snapshot)
            .await
            .unwrap();
        let since: i64 = sqlx::query_scalar(count())
            .fetch_one(&mut now)
            .await
            .unwrap();
        let entries = shown["index"]["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["name"] == table).unwrap();
        assert_eq!(entry["rows"], then, "{table}");
        assert!(table == "child" || since != then, "{table} was written to");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_tables_name_forges_no_line_where_a_damaged_backup_is_reported() {
    let world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE \"odd\npgdumpd: all is good\" AS SELECT md5(i::text) FROM generate_series(1, 5000) AS i",
        )
        .await;
    let daemon = world.daemon().await;
    let id = world.back_up().await.to_string();
    daemon.stop().await;
    let path = world.backups().remove(0);
    let archive = std::fs::read(&path).unwrap();
    std::fs::write(&path, &archive[..archive.len() - 100]).unwrap();
    let (_, file) = file(&world, "back.dump");
    for arguments in [&["fetch", &id, "-o", &file][..], &["verify", &id]] {
        let said = world.say(arguments).code(6);
        let text = format!("{}{}", said.out, said.err);
        assert!(text.contains("odd\\npgdumpd: all is good"), "{text}");
        assert!(!text.contains("\npgdumpd: all is good"), "{text}");
    }
}

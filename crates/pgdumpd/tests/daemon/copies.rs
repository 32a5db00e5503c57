//! `copies`: backups in further storages, each by a job of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pgdumpd_client::{Cancelled, JobState};
use pgdumpd_testkit::{HungMount, contents, eventually, fill};
use sqlx::{Connection as _, Executor as _};
use uuid::Uuid;

use crate::harness::copies::{copying, held, hold_publishing};
use crate::harness::{SOON, World, logged, quoted};

#[tokio::test]
async fn a_backup_is_copied_and_the_copy_is_a_backup_that_restores() {
    let world = copying(&["offsite"]).await;
    fill(&world.shop, 5).await;
    let _daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    let copy = world.status(world.copy(id).await).await;
    assert_eq!(copy.state, JobState::Succeeded);
    assert_eq!(
        (copy.progress, copy.attempt, copy.copies.as_str()),
        (100.0, 1, "2 of 2")
    );
    let original = world.status(id).await;
    assert_eq!(
        (copy.sha256, copy.size_bytes),
        (original.sha256, original.size_bytes)
    );

    let (here, there) = (world.backups(), World::backups_in(&world.place("offsite")));
    assert_eq!((here.len(), there.len()), (1, 1));
    assert_eq!(
        std::fs::read(&here[0]).unwrap(),
        std::fs::read(&there[0]).unwrap()
    );
    let (first, second) = (world.manifest(&here[0]), world.manifest(&there[0]));
    let copied = second.copied.clone().unwrap();
    assert_eq!(copied.from_storage_id, first.storage_id);
    assert_eq!(copied.job_id, copy.id);
    let mut same = second.clone();
    same.object.key = first.object.key.clone();
    same.copied = None;
    assert_eq!(same, first);
    let (key, other) = (first.object.key.as_str(), second.object.key.as_str());
    assert_eq!(
        key.rsplit_once('/').unwrap().0,
        other.rsplit_once('/').unwrap().0
    );
    let text = |archive: &std::path::Path| -> serde_json::Value {
        let text = std::fs::read(format!("{}.manifest.json", archive.display())).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    assert!(text(&here[0])["index"].is_object());
    assert_eq!(text(&here[0])["index"], text(&there[0])["index"]);

    let restored = world.restore(&there[0]).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);
    let id = id.to_string();
    world.say(&["verify", &id, "--storage", "offsite"]).code(0);
    // The first storage is not needed for it, and not told as good.
    std::fs::remove_dir_all(world.storage()).unwrap();
    let said = world.say(&["verify", &id]).code(7);
    assert!(
        said.err.contains("storage \"local\": cannot open storage"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn lists_of_backups_show_no_copies_unless_they_are_asked_for() {
    let world = copying(&["offsite"]).await;
    let _daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    let copy = world.copy(id).await;
    let ids = |arguments: &[&str]| {
        let listed = world.say(arguments).code(0).json();
        let ids = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&["list", "--json"]), [id.to_string()]);
    assert_eq!(ids(&["list", "--copies", "--json"]), [copy.to_string()]);
    let said = world.say(&["status", &copy.to_string()]).code(0);
    assert!(
        said.out
            .contains(&format!("backup {id} to storage offsite")),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn a_storage_that_is_down_costs_no_backup_and_the_copies_follow_when_it_is_back() {
    let mut world = copying(&["offsite"]).await;
    world.set("daemon", "max_jobs", "1");
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let before = world.back_up().await;
    world.held_by(before, "2 of 2").await;
    let (offsite, away) = (world.place("offsite"), world.place("away"));
    std::fs::rename(&offsite, &away).unwrap();

    let mut backups = Vec::new();
    for _ in 0..4 {
        let id = world.back_up().await;
        let copy = world.copy(id).await;
        let waits = world.requeued(copy).await;
        assert_eq!(
            waits.error_code.as_deref(),
            Some("storage_missing"),
            "{waits:#?}"
        );
        assert_eq!(world.status(id).await.copies, "1 of 2");
        backups.push((id, copy));
    }
    assert_eq!(
        world.dump_sessions().await,
        [""; 0],
        "no lock is held meanwhile"
    );
    assert!(!offsite.exists(), "no storage is made in its place");
    assert_eq!(world.backups().len(), 5);

    // On a slow machine the first ones have been tried again meanwhile.
    let mut tried = Vec::new();
    for (_, copy) in &backups {
        tried.push(world.status(*copy).await.attempt);
    }
    std::fs::rename(&away, &offsite).unwrap();
    for (_, copy) in &backups {
        // An hour later.
        world.make_due(*copy).await;
    }
    for ((id, copy), tried) in backups.iter().zip(tried) {
        assert_eq!(world.succeeded(*copy).await.attempt, tried + 1);
        world.held_by(*id, "2 of 2").await;
    }
    assert_eq!(World::backups_in(&offsite).len(), 5);
    assert!(!logged(&daemon, "ERROR", ""), "{}", daemon.log());
}

#[tokio::test]
async fn a_storage_that_hangs_takes_no_slot_from_backups() {
    let mut world = copying(&["offsite"]).await;
    world.set("daemon", "max_jobs", "1");
    world.set("daemon", "max_copies", "1");
    world.set("targets.shop", "stall_timeout", quoted("60s"));
    let daemon = world.daemon().await;
    let before = world.back_up().await;
    world.held_by(before, "2 of 2").await;
    let Some(hung) = HungMount::over(&world.place("offsite")) else {
        return;
    };
    let first = world.back_up().await;
    let copy = world.copy(first).await;
    world
        .until(copy, "the copy runs", |copy| {
            copy.state == JobState::Running
        })
        .await;
    let second = world.back_up().await;
    let third = world.back_up().await;
    let waiting = world.copy(second).await;
    assert_eq!(world.status(waiting).await.state, JobState::Queued);
    assert_eq!(world.status(copy).await.state, JobState::Running);
    // And it obeys.
    assert_eq!(world.cancel(copy).await, Cancelled::Cancelling);
    assert_eq!(world.ended(copy).await.state, JobState::Cancelled);
    drop(hung);
    world.held_by(first, "1 of 1").await;
    for id in [second, third] {
        let copy = world.copy(id).await;
        if world.status(copy).await.state == JobState::Queued {
            // It may have met the storage while that was hung.
            let _ = sqlx::query(
                "UPDATE pgdumpd.backup_jobs SET run_at = now() WHERE id = $1 AND state = 'queued'",
            )
            .bind(copy)
            .execute(&world.pool)
            .await
            .unwrap();
        }
        world.held_by(id, "2 of 2").await;
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_copy_whose_daemon_is_killed_is_made_by_another_and_nothing_partial_is_left() {
    let world = copying(&["offsite"]).await;
    fill(&world.shop, 2).await;
    let holder = hold_publishing(&world).await;
    let mut killed = world.daemon().await;
    let id = world.back_up().await;
    let copy = world.copy(id).await;
    held(&world).await;
    let offsite = world.place("offsite");
    let partial = World::files_in(&offsite);
    assert!(
        partial.len() == 1 && partial[0].contains(".dump#"),
        "{partial:?}"
    );
    killed.kill();
    sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted")
        .execute(&world.pool)
        .await
        .unwrap();
    holder.close().await.unwrap();

    let _rescuer = world.daemon().await;
    let status = world.succeeded(copy).await;
    assert_eq!((status.attempt, status.rescues), (2, 1));
    assert_eq!(world.outcomes(copy).await, ["lost", "succeeded"]);
    let there = World::backups_in(&offsite);
    assert_eq!(there.len(), 1);
    let bytes = |path: &PathBuf| std::fs::read(path).unwrap();
    assert_eq!(bytes(&there[0]), bytes(&world.backups()[0]));
}

#[tokio::test]
async fn a_copy_whose_daemon_was_killed_before_it_ended_the_row_is_adopted() {
    let world = copying(&["offsite"]).await;
    let mut holder = world.queue.connect().await;
    let mut killed = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    // Another one, whose row cannot end.
    holder
        .execute(
            "CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;
             CREATE TRIGGER hold BEFORE INSERT ON pgdumpd.backup_copies FOR EACH ROW
                 WHEN (NEW.storage = 'offsite') EXECUTE FUNCTION public.hold();
             SELECT pg_advisory_lock(42)",
        )
        .await
        .unwrap();
    let id = world.back_up().await;
    let copy = world.copy(id).await;
    held(&world).await;
    let made = World::backups_in(&world.place("offsite"));
    assert_eq!(made.len(), 2);
    killed.kill();
    sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted")
        .execute(&world.pool)
        .await
        .unwrap();
    holder.close().await.unwrap();

    let rescuer = world.daemon().await;
    assert_eq!(world.succeeded(copy).await.attempt, 2);
    assert!(rescuer.log().contains("adopting it"), "{}", rescuer.log());
    assert_eq!(World::backups_in(&world.place("offsite")), made);
    let attempts = world.attempts(copy).await;
    assert_eq!(attempts[1].object_key, attempts[0].object_key);
}

#[tokio::test]
async fn a_backup_that_is_adopted_in_a_former_storage_is_copied_to_the_present_one() {
    let mut world = copying(&["offsite"]).await;
    world.set("targets.shop", "copies", "[]");
    let (id, _killed) = world.killed_before_its_row_ends().await;
    world.set("targets.shop", "storage", quoted("offsite"));
    world.set("targets.shop", "copies", "[\"local\"]");
    let rescuer = world.daemon().await;
    world.succeeded(id).await;
    assert!(rescuer.log().contains("adopting it"), "{}", rescuer.log());
    world.held_by(id, "2 of 2").await;
}

#[tokio::test]
async fn a_copy_is_cancelled_by_itself_and_leaves_nothing() {
    let world = copying(&["offsite"]).await;
    let holder = hold_publishing(&world).await;
    let _daemon = world.daemon().await;
    let id = world.back_up().await;
    let copy = world.copy(id).await;
    held(&world).await;
    assert_eq!(world.cancel(copy).await, Cancelled::Cancelling);
    // The request is obeyed before what is held comes to an end.
    eventually("the partial object is gone", SOON, async || {
        World::files_in(&world.place("offsite"))
            .is_empty()
            .then_some(())
    })
    .await;
    holder.close().await.unwrap();
    assert_eq!(world.ended(copy).await.state, JobState::Cancelled);
    assert_eq!(world.status(id).await.copies, "1 of 1");
    world.assert_clean(1).await;
    assert_eq!(World::files_in(&world.place("offsite")), [""; 0]);
}

#[tokio::test]
async fn a_damaged_backup_is_not_copied_and_the_log_is_loud() {
    let mut world = copying(&["offsite"]).await;
    world.set("daemon", "max_copies", "0");
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    let copy = world.copy(id).await;
    let why = world.status(copy).await.waits_because;
    assert_eq!(
        why.as_deref(),
        Some("no daemon makes copies to storage \"offsite\"")
    );
    daemon.stop().await;
    let archive = world.backups().remove(0);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();

    world.set("daemon", "max_copies", "1");
    let daemon = world.daemon().await;
    let status = world.failed(copy).await;
    assert_eq!(
        status.error_code.as_deref(),
        Some("copy_source_damaged"),
        "{status:#?}"
    );
    assert_eq!(
        (status.attempt, status.error_step.as_deref()),
        (1, Some("copy"))
    );
    assert_eq!(World::files_in(&world.place("offsite")), [""; 0]);
    assert!(
        logged(&daemon, "ERROR", "a stored backup is not what it should be"),
        "{}",
        daemon.log()
    );
    assert_eq!(world.status(id).await.copies, "1 of 2", "it was wanted");
}

#[tokio::test]
async fn where_the_first_storage_is_away_or_damaged_a_copy_is_made_from_another_copy() {
    let mut world = copying(&["offsite", "tape"]).await;
    let daemon = world.daemon().await;
    let warm = world.back_up().await;
    world.held_by(warm, "3 of 3").await;
    let (tape, away) = (world.place("tape"), world.place("away"));
    std::fs::rename(&tape, &away).unwrap();
    let (damaged, lost) = (world.back_up().await, world.back_up().await);
    for id in [damaged, lost] {
        world.held_by(id, "2 of 3").await;
        world.requeued(world.copies(id).await[1].id).await;
    }
    daemon.stop().await;
    let of = |id: Uuid| {
        world
            .backups()
            .into_iter()
            .find(|path| path.display().to_string().contains(&id.to_string()))
    };
    let archive = of(damaged).unwrap();
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes.truncate(bytes.len() - 1);
    std::fs::write(&archive, bytes).unwrap();
    std::fs::rename(&away, &tape).unwrap();
    world.set("daemon", "max_copies", "1");
    let daemon = world.daemon().await;
    world.make_due(world.copies(damaged).await[1].id).await;
    world.held_by(damaged, "3 of 3").await;
    assert!(
        logged(&daemon, "ERROR", "a stored backup is not what it should be"),
        "{}",
        daemon.log()
    );

    let gone = world.place("gone");
    std::fs::rename(world.storage(), &gone).unwrap();
    world.make_due(world.copies(lost).await[1].id).await;
    world.held_by(lost, "3 of 3").await;
    let there = World::backups_in(&tape);
    assert_eq!(there.len(), 3);
    let offsite = World::backups_in(&world.place("offsite"));
    for archive in &there {
        let sha256 = world.manifest(archive).object.sha256;
        assert!(
            offsite
                .iter()
                .any(|other| world.manifest(other).object.sha256 == sha256)
        );
    }
    drop(daemon);
    std::fs::rename(&gone, world.storage()).unwrap();
}

#[tokio::test]
async fn many_copies_of_two_targets_are_each_made_once_by_two_daemons() {
    let mut world = copying(&["offsite", "tape"]).await;
    world.add_target("other").await;
    world.set("targets.other", "storage", quoted("local"));
    world.set("targets.other", "copies", r#"["tape", "offsite"]"#);
    let daemons = [world.daemon().await, world.daemon().await];
    let mut backups = Vec::new();
    for _ in 0..5 {
        backups.push(world.enqueue().await);
        let other = pgdumpd_client::BackupRequest::new("other");
        backups.push(world.enqueue_request(other).await);
    }
    for id in &backups {
        world.succeeded(*id).await;
        world.held_by(*id, "3 of 3").await;
    }
    for storage in ["storage", "offsite", "tape"] {
        let archives = World::backups_in(&world.place(storage));
        let mut ids: Vec<Uuid> = archives
            .iter()
            .map(|path| world.manifest(path).backup_id)
            .collect();
        ids.sort_unstable();
        let mut wanted = backups.clone();
        wanted.sort_unstable();
        assert_eq!(ids, wanted, "{storage}");
    }
    let counts: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE attempt = 1 AND rescues = 0 AND state = 'succeeded')
         FROM pgdumpd.backup_jobs WHERE kind = 'copy'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(counts, (20, 20));
    for daemon in daemons {
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_storage_that_is_the_first_one_under_another_name_is_refused() {
    let mut world = copying(&["offsite"]).await;
    let path = quoted(&world.storage().display().to_string());
    world.set("storages.offsite", "path", path);
    let _daemon = world.daemon().await;
    let id = world.back_up().await;
    let status = world.failed(world.copy(id).await).await;
    assert_eq!(
        status.error_code.as_deref(),
        Some("copy_same_storage"),
        "{status:#?}"
    );
    world.assert_clean(1).await;
}

#[tokio::test]
async fn two_names_of_one_storage_get_one_copy() {
    let mut world = copying(&["offsite"]).await;
    world.add_storage("second");
    world.set("targets.shop", "copies", "[\"offsite\", \"second\"]");
    World::make_storage_at(&world.place("offsite"), Uuid::new_v4());
    std::os::unix::fs::symlink(world.place("offsite"), world.place("second")).unwrap();
    world.set("daemon", "max_copies", "1");
    let _daemon = world.daemon().await;
    let id = world.back_up().await;
    let mut states = Vec::new();
    for copy in world.copies(id).await {
        let status = world.ended(copy.id).await;
        states.push((status.state, status.error_code));
    }
    states.sort_unstable_by_key(|(state, _)| state.to_string());
    let refused = Some("copy_same_storage".to_owned());
    assert_eq!(
        states,
        [(JobState::Failed, refused), (JobState::Succeeded, None)]
    );
    assert_eq!(World::backups_in(&world.place("offsite")).len(), 1);
    world.assert_explained();
}

#[tokio::test]
async fn a_copy_to_where_the_backup_is_being_deleted_finishes_that_first() {
    let world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let sql = "UPDATE pgdumpd.backup_copies SET state = 'deleting' WHERE storage = 'offsite'";
    world.sql(sql).await;
    world
        .say(&["copy", &id.to_string(), "--to", "offsite"])
        .code(0);
    let _daemon = world.daemon().await;
    world.held_by(id, "2 of 2").await;
    assert_eq!(World::backups_in(&world.place("offsite")).len(), 1);
    world.assert_explained();
}

#[tokio::test]
async fn a_daemon_that_stops_hands_its_copies_back() {
    let mut world = copying(&["offsite"]).await;
    world.set("daemon", "drain_timeout", quoted("1s"));
    let holder = hold_publishing(&world).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    let copy = world.copy(id).await;
    held(&world).await;
    tokio::time::timeout(Duration::from_secs(30), daemon.stop())
        .await
        .unwrap();
    holder.close().await.unwrap();
    let status = world.status(copy).await;
    assert_eq!((status.state, status.attempt), (JobState::Queued, 0));
    assert_eq!(World::files_in(&world.place("offsite")), [""; 0]);
}

/// Damages a file.
type Damage = fn(&Path);

/// How an object is damaged, in words, and in deed.
fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("changed", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("gone", |path| std::fs::remove_file(path).unwrap()),
        ("cut to nothing", |path| std::fs::write(path, "").unwrap()),
        ("cut", |path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a directory", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
        ("a FIFO", |path| {
            std::fs::remove_file(path).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }),
    ]
}

fn undo(path: &Path, bytes: &[u8]) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir(path);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn where_a_backup_is_damaged_in_one_storage_it_comes_from_the_next_and_verify_names_both() {
    let mut world = copying(&["offsite"]).await;
    world.set("targets.shop", "globals", quoted("without-passwords"));
    world
        .shop
        .execute("CREATE TABLE big AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 20000) AS i")
        .await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let archive = world.backups().remove(0);
    let copy = World::backups_in(&world.place("offsite")).remove(0);
    let (globals, globals_of_copy) = (globals_of(&archive), globals_of(&copy));
    let [whole, whole_globals] = [&archive, &globals].map(|path| std::fs::read(path).unwrap());
    let id = id.to_string();
    let proved = async || {
        let rows: Vec<(String, bool)> = sqlx::query_as(
            "SELECT storage, last_proved_at > stored_at FROM pgdumpd.backup_copies WHERE last_proved_at > stored_at ORDER BY storage",
        )
        .fetch_all(&world.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(storage, _)| storage)
            .collect::<Vec<_>>()
    };
    let file = world.dir.path().join("fetched");
    let to = file.display().to_string();
    let nothing_half = || {
        let left = std::fs::read_dir(world.dir.path()).unwrap();
        let mut left = left.map(|entry| entry.unwrap().file_name());
        assert!(!left.any(|name| name.to_string_lossy().contains("partial")));
    };
    let whole_fetch: &[&str] = &["fetch", &id, "-o", &to];
    let table: &[&str] = &["fetch", &id, "-o", &to, "--table", "public.big"];
    for (name, damage) in damages() {
        damage(&archive);
        for fetch in [whole_fetch, table] {
            let said = world.say(fetch).code(0);
            assert!(
                said.err.contains("storage \"local\""),
                "{name}: {}",
                said.err
            );
            let restored = world.restore(&file).await;
            assert_eq!(contents(&restored).await, contents(&world.shop).await);
            std::fs::remove_file(&file).unwrap();
            nothing_half();
        }
        let said = world.say(&["verify", &id]).code(6);
        for words in ["storage \"local\"", "storage \"offsite\"", "is good"] {
            let all = format!("{}{}", said.out, said.err);
            assert!(all.contains(words), "{name}: {all}");
        }
        assert_eq!(proved().await, ["offsite"], "{name}");
        let said = world.say(&["verify", &id, "--storage", "offsite"]).code(0);
        assert!(said.out.contains("storage \"offsite\""), "{}", said.out);
        for command in [
            &["verify", &id, "--storage", "local"][..],
            &["fetch", &id, "-o", &to, "--storage", "local"],
        ] {
            world.say(command).code(6);
        }
        assert!(!file.exists(), "{name}");

        // None is good.
        let whole_copy = std::fs::read(&copy).unwrap();
        damage(&copy);
        for fetch in [whole_fetch, table] {
            world.say(fetch).code(6);
            assert!(!file.exists(), "{name}");
            nothing_half();
        }
        world.say(&["verify", &id]).code(6);
        undo(&copy, &whole_copy);
        undo(&archive, &whole);

        damage(&globals);
        let said = world.say(&["fetch", &id, "-o", &to, "--globals"]).code(0);
        assert!(
            said.err.contains("storage \"local\""),
            "{name}: {}",
            said.err
        );
        assert_eq!(
            std::fs::read(&file).unwrap(),
            std::fs::read(&globals_of_copy).unwrap()
        );
        std::fs::remove_file(&file).unwrap();
        let said = world.say(&["verify", &id]).code(6);
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("is good"), "{name}: {all}");
        undo(&globals, &whole_globals);
    }
    let said = world.say(&["verify", &id]).code(0);
    assert_eq!(said.out.matches("is good: ").count(), 2, "{}", said.out);
    assert_eq!(proved().await, ["local", "offsite"]);
    let said = world.say(&["verify", &id, "--json"]).code(0);
    let verdicts = serde_json::Deserializer::from_str(&said.out).into_iter::<serde_json::Value>();
    let storages: Vec<_> = verdicts
        .map(|verdict| verdict.unwrap()["storage"].clone())
        .collect();
    assert_eq!(storages, ["local", "offsite"]);
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_not_reported_as_good() {
    let mut world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    std::fs::rename(world.place("offsite"), world.place("away")).unwrap();
    let said = world.say(&["verify", &id.to_string()]).code(7);
    assert!(said.err.contains("storage \"offsite\""), "{}", said.err);
    // Only what the command line asks for.
    world
        .say(&["verify", &id.to_string(), "--storage", "local"])
        .code(0);
    world.unset("storages.offsite");
}

fn globals_of(archive: &Path) -> PathBuf {
    archive.with_extension("globals.sql")
}

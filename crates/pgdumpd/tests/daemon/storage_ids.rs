//! Storages are known by their id, to the daemon and to the queue: a name or a path that comes to mean another one is
//! found out, and one that got another name is found again.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pgdumpd_client::{JobState, JobStatus};
use pgdumpd_testkit::eventually;
use rustix::process::Signal;
use tokio::net::TcpListener;

use crate::harness::copies::copying;
use crate::harness::{Daemon, SOON, World, quoted};

impl World {
    fn set_path(&mut self, storage: &str, path: &std::path::Path) {
        let section = format!("storages.{storage}");
        self.set(&section, "path", quoted(&path.display().to_string()));
        self.set(&section, "min_free", quoted("1MiB"));
    }
}

fn code(status: &JobStatus) -> Option<&str> {
    status.error_code.as_deref()
}

/// How often the daemon has said what it serves.
fn announced(daemon: &Daemon) -> usize {
    daemon
        .log()
        .matches("targets and storages in service")
        .count()
}

/// Sends SIGHUP and waits until the new configuration serves.
async fn reload(daemon: &Daemon) {
    let before = announced(daemon);
    daemon.signal(Signal::HUP);
    eventually("the daemon has reloaded", SOON, async || {
        (announced(daemon) > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_daemon_that_starts_makes_no_storage_where_the_queue_knows_one() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    world.back_up().await;
    daemon.stop().await;
    let aside = world.dir.path().join("aside");
    fs::rename(world.storage(), &aside).unwrap();
    let daemon = world.daemon().await;
    let job = world.enqueue().await;
    let status = world.requeued(job).await;
    assert_eq!(code(&status), Some("storage_missing"), "{status:#?}");
    let marker = fs::read(aside.join("pgdumpd-storage.json")).unwrap();
    let marker: serde_json::Value = serde_json::from_slice(&marker).unwrap();
    let hint = status.error_hint.unwrap();
    assert!(
        hint.contains(marker["storage_id"].as_str().unwrap()),
        "{hint}"
    );
    let error = status.error.unwrap();
    assert!(
        error.contains(&world.storage().display().to_string()),
        "{error}"
    );
    assert!(!world.storage().exists());
    // An empty mount point is none either, and a check says so.
    fs::create_dir(world.storage()).unwrap();
    let said = world.say(&["check"]).code(6);
    assert!(said.out.contains("is not the storage"), "{}", said.out);
    world.make_due(job).await;
    world
        .until(job, "the second attempt has ended", |status| {
            status.attempt == 2 && status.state == JobState::Queued
        })
        .await;
    assert_eq!(fs::read_dir(world.storage()).unwrap().count(), 0);
    // It is back: nobody has to be told.
    fs::remove_dir(world.storage()).unwrap();
    fs::rename(&aside, world.storage()).unwrap();
    world.make_due(job).await;
    world.succeeded(job).await;
    world.assert_clean(2).await;
    daemon.stop().await;
}

#[tokio::test]
async fn another_storage_under_a_known_name_is_used_once_the_configuration_names_it() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    world.back_up().await;
    fs::rename(world.storage(), world.dir.path().join("aside")).unwrap();
    let other = uuid::Uuid::new_v4();
    world.make_storage(other);
    for reloads in [false, true] {
        if reloads {
            reload(&daemon).await;
        }
        let job = world.enqueue().await;
        let status = world.requeued(job).await;
        assert_eq!(code(&status), Some("storage_replaced"), "{status:#?}");
        assert!(status.error_hint.unwrap().contains("storage_id"));
        world.cancel(job).await;
    }
    world.set("storages.local", "storage_id", quoted(&other.to_string()));
    reload(&daemon).await;
    let job = world.enqueue().await;
    world.succeeded(job).await;
    assert_eq!(world.backups().len(), 1);
}

#[tokio::test]
async fn a_backup_is_found_in_a_storage_that_got_another_name() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    let id = world.back_up().await.to_string();
    daemon.stop().await;
    world.unset("storages.local");
    let path = world.storage();
    world.set_path("main", &path);
    world.set("targets.shop", "storage", quoted("main"));
    world.say(&["verify", &id]).code(0);
    let file = world.dir.path().join("fetched.dump");
    world
        .say(&["fetch", &id, "-o", &file.display().to_string()])
        .code(0);
    let _daemon = world.daemon().await;
    world.back_up().await;
    world.say(&["delete", &id, "--yes"]).code(0);
    world.assert_clean(1).await;
}

#[tokio::test]
async fn a_backup_is_found_where_two_storages_have_changed_places() {
    let mut world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    let (local, offsite) = (world.place("storage"), world.place("offsite"));
    world.set_path("local", &offsite);
    world.set_path("offsite", &local);
    reload(&daemon).await;
    // Only one of them is left, under the other's name.
    let gone = World::backups_in(&offsite);
    fs::remove_file(format!("{}.manifest.json", gone[0].display())).unwrap();
    let said = world.say(&["verify", &id.to_string()]).code(6);
    let good = said.out.lines().filter(|line| line.contains("is good"));
    assert_eq!(good.count(), 1, "{}", said.out);
    assert_eq!(said.err.matches("is missing").count(), 1, "{}", said.err);
    let next = world.back_up().await;
    world.held_by(next, "2 of 2").await;
    let said = world.say(&["check", "--json"]).json();
    let findings = said["findings"].as_array().unwrap();
    assert!(
        findings.iter().all(|found| found["severity"] == "ok"),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn a_copy_whose_source_got_another_name_is_made() {
    let mut world = copying(&["offsite"]).await;
    // What is not a directory is not a storage.
    fs::write(world.place("offsite"), "").unwrap();
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    let copy = world.copy(id).await;
    world.requeued(copy).await;
    // The former storage keeps its place, and its name means another one.
    let (former, new) = (world.storage(), world.place("new"));
    world.set_path("local", &new);
    world.set(
        "storages.local",
        "storage_id",
        quoted("00000000-0000-4000-8000-000000000001"),
    );
    fs::create_dir(&new).unwrap();
    let marker = r#"{"format": 1, "storage_id": "00000000-0000-4000-8000-000000000001"}"#;
    fs::write(new.join("pgdumpd-storage.json"), marker).unwrap();
    fs::remove_file(world.place("offsite")).unwrap();
    reload(&daemon).await;
    world.make_due(copy).await;
    let waiting = world
        .until(copy, "nobody has the backup's storage", |status| {
            status
                .waits_because
                .as_deref()
                .is_some_and(|why| why.contains("has a storage that holds"))
        })
        .await;
    assert_eq!(waiting.state, JobState::Queued);
    eventually("the new storage is made", SOON, async || {
        let marker = world.place("offsite").join("pgdumpd-storage.json");
        marker.exists().then_some(())
    })
    .await;
    let said = world.say(&["check"]);
    assert!(said.out.contains("which no daemon has"), "{}", said.out);
    let said = world.say(&["verify", &id.to_string()]).code(1);
    assert!(
        said.err.contains(&new.display().to_string()),
        "{}",
        said.err
    );
    world.set_path("former", &former);
    reload(&daemon).await;
    world.succeeded(copy).await;
    world.say(&["verify", &id.to_string()]).code(0);
}

#[tokio::test]
async fn a_job_that_begins_while_a_reload_waits_leaves_nothing_of_the_old_configuration_behind() {
    let mut world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    // A server that takes a connection and says nothing: its databases are waited for.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let (local, offsite): (PathBuf, PathBuf) = (world.place("storage"), world.place("offsite"));
    world.set_path("local", &offsite);
    world.set_path("offsite", &local);
    world.set(
        "targets.all",
        "url",
        quoted(&format!("postgresql://x@{address}/x")),
    );
    world.set("targets.all", "databases", quoted("*"));
    world.set("targets.all", "storage", quoted("local"));
    let before = announced(&daemon);
    daemon.signal(Signal::HUP);
    let (connection, _) = silent.accept().await.unwrap();
    let during = world.back_up().await;
    world.held_by(during, "2 of 2").await;
    assert_eq!(announced(&daemon), before);
    drop((connection, silent));
    eventually("the daemon has reloaded", SOON, async || {
        (announced(&daemon) > before).then_some(())
    })
    .await;
    let after = world.back_up().await;
    world.held_by(after, "2 of 2").await;
}

#[tokio::test]
async fn checks_that_are_cut_short_leave_nothing_in_the_storage() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    world.back_up().await;
    // Each begins a check, and cuts the last one's short.
    for _ in 0..50 {
        reload(&daemon).await;
    }
    let probes = || {
        let names = fs::read_dir(world.storage()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("pgdumpd-probe-"))
            .count()
    };
    eventually("no probe is left", SOON, async || {
        (probes() == 0).then_some(())
    })
    .await;
    // One that a killed check left goes with the next check, once it is old; one of now may be another daemon's.
    let (old, new) = ("pgdumpd-probe-old", "pgdumpd-probe-new");
    for name in [old, new] {
        fs::write(world.storage().join(name), "x").unwrap();
    }
    let hours_ago = SystemTime::now() - Duration::from_secs(7200);
    let file = fs::File::options()
        .write(true)
        .open(world.storage().join(old))
        .unwrap();
    file.set_modified(hours_ago).unwrap();
    reload(&daemon).await;
    eventually("the old probe is gone", SOON, async || {
        (!world.storage().join(old).exists()).then_some(())
    })
    .await;
    assert!(world.storage().join(new).exists());
}

//! `pgdumpd fsck`: what is told of a storage and a queue that differ, and what is removed.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use pgdumpd::config::{PlaceConfig, QueueConfig, StorageConfig};
use pgdumpd::database_url::DatabaseUrl;
use pgdumpd::finding::Severity;
use pgdumpd::fsck::{Finding, Remedy, Repaired, repair};
use pgdumpd::queue::{Queue, QueueError, Traces};
use pgdumpd::store::Storage;
use pgdumpd_testkit::manifest_text;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Said, World, quoted};

impl World {
    pub(crate) fn fsck(&self, more: &[&str]) -> Said {
        let mut arguments = vec!["fsck", "--json", "--safe-age", "0s"];
        arguments.extend(more);
        self.say(&arguments)
    }

    pub(crate) async fn sql(&self, statement: &str) {
        self.queue.execute(statement).await;
    }
}

/// The findings of the one storage as (code, key).
#[track_caller]
fn findings(said: Said) -> Vec<(String, String)> {
    let report = said.json();
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    report["storages"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (word(finding, "code"), word(finding, "key")))
        .collect()
}

#[track_caller]
fn codes(said: Said) -> Vec<String> {
    findings(said).into_iter().map(|(code, _)| code).collect()
}

pub(crate) async fn backed_up() -> (World, Uuid, PathBuf) {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
    let path = world.backups().remove(0);
    (world, id, path)
}

pub(crate) fn manifest_of(archive: &Path) -> PathBuf {
    PathBuf::from(format!("{}.manifest.json", archive.display()))
}

/// Writes the archive's manifest again, changed, with a right checksum.
pub(crate) fn change_manifest(archive: &Path, change: impl FnOnce(&mut Value)) {
    let path = manifest_of(archive);
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(&path, manifest_text(&manifest)).unwrap();
}

/// A second, later backup of the same job, as an attempt leaves it that did not find the first one whole; the queue
/// knows the attempt.
pub(crate) async fn second_backup(world: &World, job: Uuid, first: &Path) -> PathBuf {
    let token = Uuid::new_v4();
    let second = first.with_file_name(format!("{token}.dump"));
    let bytes = [&std::fs::read(first).unwrap()[..], b"more"].concat();
    std::fs::write(&second, &bytes).unwrap();
    std::fs::copy(manifest_of(first), manifest_of(&second)).unwrap();
    let key = second.strip_prefix(world.storage()).unwrap().to_owned();
    let claimed = world.manifest(first).claimed_at.unwrap() + TimeDelta::microseconds(1);
    change_manifest(&second, |manifest| {
        manifest["attempt"] = json!(2);
        manifest["claimed_at"] = json!(claimed);
        manifest["object"] =
            json!({ "key": key, "size_bytes": bytes.len(), "sha256": "0".repeat(64) });
        manifest["started_at"] = manifest["finished_at"].clone();
        manifest["lease_token"] = json!(token);
        manifest["index"] = Value::Null;
    });
    sqlx::query(
        "INSERT INTO pgdumpd.backup_attempts
             (lease_token, job_id, attempt, worker_id, started_at, ended_at, outcome, storage, storage_id, object_key)
         SELECT $1, job_id, 2, worker_id, $4, now(), 'lost', storage, storage_id, $2
         FROM pgdumpd.backup_attempts WHERE job_id = $3",
    )
    .bind(token)
    .bind(key.to_str().unwrap())
    .bind(job)
    .bind(claimed)
    .execute(&world.pool)
    .await
    .unwrap();
    second
}

#[tokio::test]
async fn nothing_is_found_where_all_is_well() {
    let (world, ..) = backed_up().await;
    let report = world.fsck(&[]).code(0).json();
    assert_eq!(report["clean"], true);
    assert_eq!(report["storages"][0]["good"], 1);
    assert_eq!(report["storages"][0]["explained"], 0);
    let said = world.say(&["fsck"]).code(0);
    assert!(
        said.out.contains("1 backup is as it should be"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn what_a_killed_daemon_left_is_explained_while_its_job_lives_and_removed_after_that() {
    let world = World::new().await;
    pgdumpd_testkit::fill(&world.shop, 60).await;
    let mut daemon = world.daemon().await;
    let id = world.enqueue().await;
    let frozen = world.frozen(id, &daemon).await;
    daemon.kill();
    frozen.gone().await;
    let left = world.files();
    assert!(
        left.iter().any(|file| file.ends_with(".dump#1")),
        "{left:?}"
    );

    // Another daemon will see to it.
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(report["storages"][0]["explained"], 1);
    assert_eq!(world.files(), left);

    // Nobody will any more.
    world
        .sql(
            "UPDATE pgdumpd.backup_jobs SET state = 'cancelled', finished_at = now(), lease_expires_at = NULL;
             UPDATE pgdumpd.backup_attempts SET outcome = 'cancelled', ended_at = now(), cleared_at = now()",
        )
        .await;
    let young = world.say(&["fsck", "--repair", "--json"]).code(0).json();
    assert_eq!(young["storages"][0]["explained"], 1);
    assert_eq!(codes(world.fsck(&[]).code(6)), ["temporary_left"]);
    assert_eq!(world.files(), left);
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(report["storages"][0]["findings"][0]["repaired"], "done");
    world.assert_clean(0).await;
    assert_eq!(codes(world.fsck(&[]).code(0)), [""; 0]);
}

#[tokio::test]
async fn an_archive_without_a_manifest_is_kept_while_a_row_speaks_of_it() {
    let (world, _, path) = backed_up().await;
    let manifest = format!("{}.manifest.json", path.display());
    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(
        codes(world.fsck(&["--repair"]).code(6)),
        ["row_without_manifest"]
    );
    assert!(path.exists());

    world.sql("DELETE FROM pgdumpd.backup_copies").await;
    assert_eq!(codes(world.fsck(&[]).code(6)), ["object_without_manifest"]);
    assert!(path.exists());
    world.fsck(&["--repair"]).code(0);
    world.assert_clean(0).await;
}

#[tokio::test]
async fn an_archive_that_is_gone_or_cut_is_an_error_and_its_manifest_stays() {
    let (world, id, path) = backed_up().await;
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let found = findings(world.fsck(&["--repair"]).code(6));
    assert_eq!(found[0].0, "size_differs");
    assert!(path.ends_with(&found[0].1));

    std::fs::remove_file(&path).unwrap();
    assert_eq!(codes(world.fsck(&["--repair"]).code(6)), ["object_missing"]);
    let manifest = PathBuf::from(format!("{}.manifest.json", path.display()));
    assert!(manifest.exists());

    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(codes(world.fsck(&[]).code(6)), ["row_without_object"]);
    world.fsck(&["--repair"]).code(0);
    world.fsck(&[]).code(0);
    world.say(&["show", &id.to_string()]).code(3);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_reported_and_kept() {
    let (world, _, path) = backed_up().await;
    let manifest = format!("{}.manifest.json", path.display());
    std::fs::write(&manifest, "{").unwrap();
    assert_eq!(
        codes(world.fsck(&["--repair"]).code(6)),
        ["manifest_unreadable"]
    );
    assert!(path.exists());
}

/// Leaves a backup as a daemon does that is killed between manifest and finish in the last attempt.
async fn forget(world: &World) {
    world
        .sql(
            "DELETE FROM pgdumpd.backup_copies;
             ALTER TABLE pgdumpd.backup_jobs DISABLE TRIGGER ALL;
             UPDATE pgdumpd.backup_jobs SET state = 'failed', error_code = 'daemon_died', error = 'x', progress = 50;
             UPDATE pgdumpd.backup_attempts SET outcome = 'lost'",
        )
        .await;
}

#[tokio::test]
async fn a_backup_whose_job_failed_to_record_it_is_recorded() {
    let (world, id, _) = backed_up().await;
    forget(&world).await;
    let id = id.to_string();
    world.say(&["show", &id]).code(3);
    assert_eq!(codes(world.fsck(&[]).code(6)), ["backup_without_row"]);
    world.fsck(&["--repair"]).code(0);
    world.fsck(&[]).code(0);
    world.say(&["verify", &id]).code(0);
}

#[tokio::test]
async fn what_nobody_recorded_and_is_cut_or_gone_is_damage_and_is_not_recorded_as_a_backup() {
    let (world, id, path) = backed_up().await;
    forget(&world).await;
    let archive = std::fs::read(&path).unwrap();
    std::fs::write(&path, &archive[..archive.len() - 1]).unwrap();
    assert_eq!(codes(world.fsck(&["--repair"]).code(6)), ["size_differs"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(codes(world.fsck(&["--repair"]).code(6)), ["object_missing"]);
    world.say(&["show", &id.to_string()]).code(3);
    // What fsck found a moment ago may be damaged by now.
    std::fs::write(&path, &archive).unwrap();
    let (storage, queue) = opened(&world).await;
    let size = archive.len() as u64;
    for (size_bytes, repaired) in [(size + 1, Repaired::Changed), (size, Repaired::Done)] {
        let finding = found(&world, id, &path, Remedy::NoteCopy { size_bytes });
        let came_to = repair(&finding, &storage, &queue).await.unwrap();
        assert_eq!(came_to, Some(repaired), "{size_bytes}");
    }
    world.say(&["verify", &id.to_string()]).code(0);
}

#[tokio::test]
async fn two_queues_in_one_storage_leave_each_other_alone() {
    let (world, _, path) = backed_up().await;
    let mut other = World::new().await;
    other.set(
        "storages.local",
        "path",
        quoted(&world.storage().display().to_string()),
    );
    let daemon = other.daemon().await;
    let id = other.enqueue().await;
    other.succeeded(id).await;
    daemon.stop().await;
    // What would be an orphan of the first queue's, and is none of the second's.
    world.sql("DELETE FROM pgdumpd.backup_copies").await;
    std::fs::remove_file(format!("{}.manifest.json", path.display())).unwrap();
    let files = world.files();

    let report = other.fsck(&["--repair"]).code(0).json();
    assert_eq!(report["storages"][0]["good"], 1);
    assert_eq!(report["storages"][0]["of_other_queues"], 1);
    assert_eq!(world.files(), files);

    let found = findings(world.fsck(&["--repair"]).code(0));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!path.exists());
    other.fsck(&[]).code(0);
    assert_eq!(world.files().len(), files.len() - 1);
}

#[tokio::test]
async fn scraps_are_removed_and_strangers_counted() {
    let (world, ..) = backed_up().await;
    let root = world.storage();
    for scrap in [
        "pgdumpd-probe-1",
        "pgdumpd-probe-2#1",
        "pgdumpd-storage.json#4",
    ] {
        std::fs::write(root.join(scrap), "x").unwrap();
    }
    std::fs::write(root.join("notes.txt"), "mine").unwrap();
    world.say(&["fsck"]).code(0);
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(
        report["storages"][0]["findings"].as_array().unwrap().len(),
        3
    );
    assert_eq!(
        report["storages"][0]["unknown"],
        serde_json::json!(["notes.txt"])
    );
    let left = std::fs::read_dir(&root).unwrap().count();
    // The marker, the notes, the queue's directory.
    assert_eq!(left, 3);
}

#[tokio::test]
async fn a_storage_that_is_away_is_reported_and_its_rows_are_not_judged() {
    let (mut world, ..) = backed_up().await;
    let elsewhere = world.dir.path().join("elsewhere");
    std::fs::rename(world.storage(), &elsewhere).unwrap();
    let report = world.fsck(&["--repair"]).code(6).json();
    assert_eq!(report["away"][0]["storage"], "local");
    assert_eq!(report["storages"].as_array().unwrap().len(), 0);
    // Another configuration, as another host has it.
    std::fs::create_dir(world.storage()).unwrap();
    world.make_storage(Uuid::new_v4());
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(
        report["elsewhere"]
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap(),
        1
    );
    std::fs::remove_dir_all(world.storage()).unwrap();
    std::fs::rename(&elsewhere, world.storage()).unwrap();
    world.fsck(&[]).code(0);
    world.unset("storages.local");
    world.say(&["fsck", "--storage", "nowhere"]).code(1);
}

#[tokio::test]
async fn backups_that_come_and_go_meanwhile_are_no_finding() {
    let mut world = World::new().await;
    world.set("targets.shop", "keep_last", "1");
    let daemon = world.daemon().await;
    let mut looks = 0;
    for _ in 0..5 {
        let id = world.enqueue().await;
        loop {
            world.assert_explained();
            looks += 1;
            if world.status(id).await.state.has_ended() {
                break;
            }
        }
        world.succeeded(id).await;
    }
    assert!(looks >= 5, "{looks}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_role_that_is_not_shown_a_running_job_removes_nothing_of_it() {
    let mut world = World::new().await;
    let _holder = world.hold_dumps().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.held(&daemon).await;
    let left = world.files();
    assert_eq!(left.len(), 1, "{left:?}");
    // As the members of pg_read_all_data, whom row security shows no job of another's.
    let role = world.cluster.role("").await;
    world
        .sql(&format!(
            "GRANT USAGE ON SCHEMA pgdumpd TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA pgdumpd TO {0}",
            role.name
        ))
        .await;
    let owner = quoted(&world.queue.url());
    let url = quoted(&world.queue.url_as(&role.name));
    world.set("queue", "url", url);
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(report["storages"][0]["explained"], 1, "{report}");
    assert_eq!(world.files(), left);
    world.set("queue", "url", owner);
    world.cancel(id).await;
    world.ended(id).await;
}

#[tokio::test]
async fn a_second_backup_of_one_job_is_reported_and_recorded_once_the_first_is_gone() {
    let (world, id, first) = backed_up().await;
    let second = second_backup(&world, id, &first).await;
    let report = world.fsck(&["--repair"]).code(0).json();
    let finding = &report["storages"][0]["findings"][0];
    assert_eq!(finding["code"], "backup_without_row");
    assert_eq!(finding["severity"], "ok");
    assert_eq!(finding["repaired"], Value::Null);

    let id = id.to_string();
    let key = |path: &Path| path.strip_prefix(world.storage()).unwrap().to_owned();
    let first_key = key(&first);
    let delete = ["delete", "--storage", "local", "--yes", "--key"];
    world
        .say(&[&delete[..], &[first_key.to_str().unwrap()]].concat())
        .code(0);
    world.say(&["show", &id]).code(3);
    assert_eq!(codes(world.fsck(&[]).code(6)), ["backup_without_row"]);
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(report["storages"][0]["findings"][0]["repaired"], "done");
    world.fsck(&[]).code(0);
    let recorded: String =
        sqlx::query_scalar("SELECT object_key FROM pgdumpd.backup_copies WHERE state = 'stored'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(Path::new(&recorded), key(&second));
    world.say(&["show", &id]).code(0);
}

#[tokio::test]
async fn a_temporary_file_beside_a_backup_is_removed_and_the_backup_is_not() {
    let (world, _, path) = backed_up().await;
    let before = world.files();
    for part in ["#1", ".manifest.json#2"] {
        std::fs::write(format!("{}{part}", path.display()), "half").unwrap();
    }
    assert_eq!(codes(world.fsck(&[]).code(6)), ["temporary_left"]);
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(report["storages"][0]["findings"][0]["repaired"], "done");
    assert_eq!(world.files(), before);
    world.fsck(&[]).code(0);
}

#[tokio::test]
async fn backups_behind_a_link_are_found() {
    let (world, ..) = backed_up().await;
    let directory = world.storage().join(world.queue_id().await.to_string());
    let elsewhere = world.dir.path().join("another disk");
    std::fs::rename(&directory, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &directory).unwrap();
    // And one that leads round in a circle.
    std::os::unix::fs::symlink(&elsewhere, elsewhere.join("round")).unwrap();
    let report = world.fsck(&[]).code(0).json();
    assert_eq!(report["storages"][0]["good"], 1, "{report}");
}

#[tokio::test]
async fn without_the_queue_nothing_is_judged_and_nothing_removed() {
    let (mut world, _, path) = backed_up().await;
    std::fs::remove_file(manifest_of(&path)).unwrap();
    std::fs::write(world.storage().join("pgdumpd-probe-1"), "x").unwrap();
    world.set("queue", "url", quoted("postgres://127.0.0.1:1/gone"));
    let said = world.fsck(&["--repair"]).code(1);
    assert_eq!(said.out, "");
    assert!(path.exists());
    assert!(world.storage().join("pgdumpd-probe-1").exists());
}

/// The storage and the queue, as a repair has them.
async fn opened(world: &World) -> (Storage, Queue) {
    let config = StorageConfig {
        storage_id: None,
        place: PlaceConfig::Local {
            path: world.storage(),
            min_free: 0,
        },
    };
    let storage = Storage::open_existing("local", &config, &[]).await.unwrap();
    let queue = QueueConfig {
        url: DatabaseUrl::parse(&world.queue.url()).unwrap(),
        queue_id: None,
        pooled: false,
        listen_url: None,
        listen: false,
        migrate_at_start: false,
    };
    let queue = Queue::connect(&queue).await.unwrap();
    (storage, queue)
}

/// A finding about this archive.
fn found(world: &World, job: Uuid, path: &Path, remedy: Remedy) -> Finding {
    let key = path.strip_prefix(world.storage()).unwrap();
    Finding {
        code: "found_by_a_test",
        severity: Severity::Error,
        storage: "local".to_owned(),
        key: key.to_str().unwrap().to_owned(),
        job: Some(job),
        size_bytes: None,
        age: None,
        what: String::new(),
        advice: None,
        remedy: Some(remedy),
    }
}

#[tokio::test]
async fn what_goes_before_it_is_repaired_is_left_alone() {
    let (world, id, path) = backed_up().await;
    let (storage, queue) = opened(&world).await;
    let finding = |remedy| found(&world, id, &path, remedy);
    let stored = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_copies WHERE state = 'stored'")
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    // The file system is unmounted between the look and the repair.
    std::fs::rename(world.storage(), world.dir.path().join("aside")).unwrap();
    std::fs::create_dir(world.storage()).unwrap();
    let fault = repair(&finding(Remedy::NoteDeleted), &storage, &queue)
        .await
        .unwrap_err();
    assert_eq!(fault.code().as_str(), "storage_missing");
    assert_eq!(stored().await, 1);
    std::fs::remove_dir(world.storage()).unwrap();
    std::fs::rename(world.dir.path().join("aside"), world.storage()).unwrap();

    // The queue's address leads to another queue: it knows nothing of what runs here.
    std::fs::remove_file(manifest_of(&path)).unwrap();
    world
        .sql("UPDATE pgdumpd.queue SET id = gen_random_uuid()")
        .await;
    let token = Uuid::new_v4();
    let remedy = Remedy::RemoveAttempt { token };
    repair(&finding(remedy), &storage, &queue).await.unwrap();
    assert!(path.exists());
    let error = queue.audit(storage.id(), &Traces::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, QueueError::Replaced { .. }), "{error:?}");
}

#[tokio::test]
async fn an_upload_that_a_killed_daemon_left_in_a_bucket_is_found_and_ended() {
    let world = crate::remote::world().await;
    let holder = world.hold_dumps().await;
    let mut daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.held(&daemon).await;
    let explained = |said: Said| said.json()["storages"][0]["explained"].clone();
    assert_eq!(explained(world.fsck(&["--repair"]).code(0)), 1);
    daemon.kill();
    drop(holder);
    // Another daemon will see to it.
    assert_eq!(explained(world.fsck(&["--repair"]).code(0)), 1);

    // Nobody will any more.
    world
        .sql(
            "UPDATE pgdumpd.backup_jobs SET state = 'cancelled', finished_at = now(), lease_expires_at = NULL;
             UPDATE pgdumpd.backup_attempts SET outcome = 'cancelled', ended_at = now(), cleared_at = now()",
        )
        .await;
    let young = world.say(&["fsck", "--repair", "--json"]).code(0);
    assert_eq!(explained(young), 1);
    let found = findings(world.fsck(&[]).code(6));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "upload_unfinished");
    assert!(found[0].1.contains(&id.to_string()), "{found:?}");
    let report = world.fsck(&["--repair"]).code(0).json();
    assert_eq!(report["storages"][0]["findings"][0]["repaired"], "done");
    assert_eq!(explained(world.fsck(&[]).code(0)), 0);
}

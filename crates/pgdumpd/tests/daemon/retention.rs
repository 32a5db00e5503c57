//! `keep_last`: what is deleted after a success, and what never is.

use pgdumpd_client::{BackupRequest, BackupSpec};
use pgdumpd_testkit::eventually;
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};

/// The line that ends each application of a target's rules.
pub(crate) const APPLIED: &str = "applied the target's rules";

/// A world whose target keeps this many backups.
pub(crate) async fn keeping(keep_last: u32) -> World {
    let mut world = World::new().await;
    world.set("targets.shop", "keep_last", keep_last.to_string());
    world
}

/// Takes a backup, and waits until the rules were applied after it.
pub(crate) async fn back_up(world: &World, daemon: &Daemon, request: BackupRequest) -> Uuid {
    let before = daemon.log().matches(APPLIED).count();
    let id = world.enqueue_request(request).await;
    world.succeeded(id).await;
    eventually("the rules are applied", SOON, async || {
        (daemon.log().matches(APPLIED).count() > before).then_some(())
    })
    .await;
    id
}

pub(crate) async fn whole(world: &World, daemon: &Daemon) -> Uuid {
    back_up(world, daemon, BackupRequest::new("shop")).await
}

/// The ids of the backups that the storage holds, sorted.
pub(crate) fn held(world: &World) -> Vec<Uuid> {
    let backups = world.backups();
    let mut ids: Vec<Uuid> = backups
        .iter()
        .map(|archive| world.manifest(archive).backup_id)
        .collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn sorted<const N: usize>(mut ids: [Uuid; N]) -> [Uuid; N] {
    ids.sort_unstable();
    ids
}

/// The file that makes this job's backup exist, from the storage's root.
fn manifest_of(world: &World, id: Uuid) -> std::path::PathBuf {
    let files = world.files();
    let name = files
        .iter()
        .find(|file| file.contains(&id.to_string()) && file.ends_with(".manifest.json"));
    world.storage().join(name.unwrap())
}

/// What the queue says of this backup in the only storage.
pub(crate) async fn state_of(world: &World, id: Uuid) -> String {
    let sql = "SELECT state FROM pgdumpd.backup_copies WHERE job_id = $1";
    let state = sqlx::query_scalar(sql).bind(id).fetch_one(&world.pool);
    state.await.unwrap()
}

#[tokio::test]
async fn of_three_backups_the_newest_two_stay_and_the_rows_say_so() {
    let world = keeping(2).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    let second = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([first, second]));
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([second, third]));
    assert_eq!(world.status(first).await.copies, "0 of 1");
    assert_eq!(world.status(second).await.copies, "1 of 1");
    assert!(daemon.log().contains("event=BACKUP_DELETED"));
    assert!(!daemon.log().contains("BACKUP_NOT_DELETED"));
}

#[tokio::test]
async fn what_was_just_stored_stays_even_when_the_databases_clock_was_set_back() {
    let world = keeping(1).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    world
        .queue
        .execute("UPDATE pgdumpd.backup_copies SET claimed_at = claimed_at + interval '1 day'")
        .await;
    // For that day the first one is the newest in the order that all daemons have.
    let second = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([first, second]));
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([first, third]));
    assert_eq!(world.status(second).await.copies, "0 of 1");
}

#[tokio::test]
async fn a_part_of_the_database_pushes_out_no_whole_backup() {
    let world = keeping(1).await;
    let daemon = world.daemon().await;
    let part = || {
        BackupRequest::new("shop").spec(BackupSpec {
            schemas: vec!["public".into()],
            ..BackupSpec::default()
        })
    };
    let first = whole(&world, &daemon).await;
    let parts = [
        back_up(&world, &daemon, part()).await,
        back_up(&world, &daemon, part()).await,
    ];
    assert_eq!(held(&world), sorted([first, parts[1]]));
    let last = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([last, parts[1]]));
}

#[tokio::test]
async fn what_cannot_be_read_is_neither_counted_nor_deleted() {
    let world = keeping(2).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    let damaged = whole(&world, &daemon).await;
    let manifest = manifest_of(&world, damaged);
    std::fs::write(&manifest, "{").unwrap();
    let third = whole(&world, &daemon).await;
    assert!(daemon.log().contains("neither counted nor deleted"));
    let fourth = whole(&world, &daemon).await;
    assert!(manifest.exists());
    assert!(manifest.with_extension("").with_extension("").exists());
    let files = world.files();
    let there = |id: Uuid| {
        files
            .iter()
            .filter(|file| file.contains(&id.to_string()))
            .count()
    };
    assert_eq!([first, damaged, third, fourth].map(there), [0, 2, 2, 2]);
}

#[tokio::test]
async fn a_backup_whose_object_is_gone_does_not_count() {
    let world = keeping(2).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    let hollow = whole(&world, &daemon).await;
    let manifest = manifest_of(&world, hollow);
    std::fs::remove_file(manifest.with_extension("").with_extension("")).unwrap();
    let third = whole(&world, &daemon).await;
    assert!(manifest_of(&world, first).exists());
    let fourth = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([third, fourth]));
}

#[tokio::test]
async fn another_queues_backups_in_the_same_storage_stay() {
    let theirs = World::new().await;
    let mut ours = keeping(1).await;
    let shared = quoted(&theirs.storage().display().to_string());
    ours.set("storages.local", "path", shared);
    let other = theirs.enqueue().await;
    let their_daemon = theirs.daemon().await;
    theirs.succeeded(other).await;
    their_daemon.stop().await;
    let daemon = ours.daemon().await;
    whole(&ours, &daemon).await;
    let last = whole(&ours, &daemon).await;
    assert_eq!(held(&theirs), sorted([other, last]));
}

#[tokio::test]
async fn an_adopted_clone_leaves_the_originals_backups_although_it_has_their_rows() {
    let world = keeping(1).await;
    let daemon = world.daemon().await;
    let original = whole(&world, &daemon).await;
    daemon.stop().await;
    let id: Uuid = sqlx::query_scalar("SELECT id FROM pgdumpd.queue")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    world.say(&["adopt", "--queue-id", &id.to_string()]).code(0);
    let daemon = world.daemon().await;
    whole(&world, &daemon).await;
    let last = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([original, last]));
    assert_eq!(world.status(original).await.copies, "1 of 1");
}

#[tokio::test]
async fn a_daemon_of_a_queue_that_was_given_another_id_deletes_nothing() {
    let mut world = keeping(1).await;
    // It notices, and ends, at its next heartbeat: not before its job has.
    world.set("daemon", "heartbeat", quoted("60s"));
    world.set("daemon", "lease", quoted("300s"));
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    let lock = world.hold_dumps().await;
    let applied = daemon.log().matches(APPLIED).count();
    let second = world.enqueue().await;
    world.held(&daemon).await;
    world
        .queue
        .execute("UPDATE pgdumpd.queue SET id = gen_random_uuid()")
        .await;
    drop(lock);
    world.succeeded(second).await;
    eventually("the rules are applied", SOON, async || {
        (daemon.log().matches(APPLIED).count() > applied).then_some(())
    })
    .await;
    assert_eq!(held(&world), sorted([first, second]));
}

#[tokio::test]
async fn a_backup_whose_row_is_gone_stays_for_a_person_to_delete() {
    let world = keeping(1).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    world.queue.execute("DELETE FROM pgdumpd.backup_jobs").await;
    whole(&world, &daemon).await;
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([first, third]));
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_finished_after_the_next_success() {
    let world = keeping(1).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    std::fs::remove_file(manifest_of(&world, first)).unwrap();
    let second = whole(&world, &daemon).await;
    assert_eq!(held(&world), [second]);
    assert_eq!(world.status(first).await.copies, "0 of 1");
}

#[tokio::test]
async fn a_deletion_that_fails_fails_no_job_and_is_tried_again() {
    let world = keeping(1).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    // Root writes into a read-only directory, but nobody removes a directory as if it were a file.
    let manifest = manifest_of(&world, first);
    let object = manifest.with_extension("").with_extension("");
    let content = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    std::fs::create_dir(&object).unwrap();
    let second = whole(&world, &daemon).await;
    assert!(daemon.log().contains("event=BACKUP_NOT_DELETED"));
    // Its manifest is gone: it is not a backup any more.
    assert_eq!(world.status(first).await.copies, "0 of 1");
    assert_eq!(state_of(&world, first).await, "deleting");
    std::fs::remove_dir(&object).unwrap();
    std::fs::write(&object, content).unwrap();
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), [third]);
    for deleted in [first, second] {
        assert_eq!(state_of(&world, deleted).await, "deleted");
    }
}

#[tokio::test]
async fn without_keep_last_everything_stays() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = world.enqueue().await;
        world.succeeded(id).await;
        ids.push(id);
    }
    daemon.stop().await;
    ids.sort_unstable();
    assert_eq!(held(&world), ids);
}

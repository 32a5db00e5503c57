//! `delete` and `cancel` mean it: what a daemon that died left whole is found, and goes, or is recorded and counted.

use std::path::Path;

use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::eventually;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::fsck::manifest_of;
use crate::harness::copies::copying;
use crate::harness::{Daemon, SOON, World};
use crate::retention::whole;

/// Lets no success into this storage be recorded, until the connection is closed.
async fn hold_rows_of(world: &World, storage: &str) -> PgConnection {
    let mut holder = world.queue.connect().await;
    let trigger = format!(
        "SELECT pg_advisory_lock(42);
         CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;
         CREATE TRIGGER hold BEFORE INSERT ON pgdumpd.backup_copies FOR EACH ROW
             WHEN (NEW.storage = '{storage}') EXECUTE FUNCTION public.hold()"
    );
    holder.execute(sqlx::AssertSqlSafe(trigger)).await.unwrap();
    holder
}

/// Kills the daemon once its success waits to be recorded; what it had asked for does not happen after its death.
async fn kill_before_the_row(world: &World, daemon: &mut Daemon, holder: PgConnection) {
    let waiting =
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("a success waits to be recorded", SOON, async || {
        let pids: Vec<i32> = sqlx::query_scalar(waiting)
            .fetch_all(&world.pool)
            .await
            .unwrap();
        (!pids.is_empty()).then_some(())
    })
    .await;
    daemon.kill();
    let end = format!("SELECT pg_terminate_backend(pid, 5000) FROM ({waiting}) AS w");
    sqlx::query(sqlx::AssertSqlSafe(end))
        .execute(&world.pool)
        .await
        .unwrap();
    holder.close().await.unwrap();
    world
        .queue
        .execute("DROP TRIGGER hold ON pgdumpd.backup_copies; DROP FUNCTION public.hold()")
        .await;
}

/// A backup whose copy to `offsite` is whole, although its daemon died before it could note it.
async fn copied_and_not_recorded() -> (World, Uuid) {
    let world = copying(&["offsite"]).await;
    let holder = hold_rows_of(&world, "offsite").await;
    let mut daemon = world.daemon().await;
    let id = world.back_up().await;
    kill_before_the_row(&world, &mut daemon, holder).await;
    assert_eq!(World::backups_in(&world.place("offsite")).len(), 1);
    (world, id)
}

/// The id in a storage's marker, as the configuration writes it.
fn id_in(storage: &Path) -> String {
    let marker = std::fs::read(storage.join("pgdumpd-storage.json")).unwrap();
    let marker: serde_json::Value = serde_json::from_slice(&marker).unwrap();
    marker["storage_id"].to_string()
}

/// A backup that is whole in `local`, although its daemon died before it could end the row.
async fn stored_and_not_recorded(request: BackupRequest) -> (World, Uuid) {
    let world = World::new().await;
    let holder = hold_rows_of(&world, "local").await;
    let mut daemon = world.daemon().await;
    let id = world.enqueue_request(request).await;
    kill_before_the_row(&world, &mut daemon, holder).await;
    assert_eq!(world.backups().len(), 1);
    (world, id)
}

/// Waits until the queue notes that a storage holds the backup, and asserts that it is one like any other.
async fn is_recorded_and_goes_by_its_id(world: &World, id: Uuid) {
    eventually("the backup is recorded", SOON, async || {
        (world.status(id).await.copies_stored == 1).then_some(())
    })
    .await;
    let argument = id.to_string();
    let file = world.dir.path().join("fetched.dump");
    world
        .say(&["fetch", &argument, "-o", file.to_str().unwrap()])
        .code(0);
    world.assert_clean(1).await;
    world.say(&["delete", &argument, "--yes"]).code(0);
    assert_eq!(world.files(), [""; 0]);
    world.say(&["fetch", &argument]).code(3);
}

#[tokio::test]
async fn delete_removes_a_copy_whose_daemon_died_before_it_could_record_it() {
    let (world, id) = copied_and_not_recorded().await;
    let _daemon = world.daemon().await;
    let argument = id.to_string();
    world.say(&["delete", &argument, "--yes"]).code(0);
    for storage in ["storage", "offsite"] {
        // A daemon that was quicker takes the manifest first, and the object a moment later.
        eventually("nothing of it is left", SOON, async || {
            World::files_in(&world.place(storage))
                .is_empty()
                .then_some(())
        })
        .await;
    }
    world.say(&["fetch", &argument]).code(3);
    world.say(&["delete", &argument, "--yes"]).code(3);
    world.say(&["fsck", "--repair"]).code(0);
    world.say(&["fetch", &argument]).code(3);
}

#[tokio::test]
async fn what_was_deleted_before_is_not_found_also_while_no_daemon_has_cleaned_up() {
    let (world, id) = copied_and_not_recorded().await;
    let daemon = world.daemon().await;
    let argument = id.to_string();
    world.say(&["delete", &argument, "--yes"]).code(0);
    daemon.stop().await;
    // As it is until a daemon has come by.
    sqlx::query("UPDATE pgdumpd.backup_attempts SET cleared_at = NULL")
        .execute(&world.pool)
        .await
        .unwrap();
    world.say(&["delete", &argument, "--yes"]).code(3);
}

#[tokio::test]
async fn fsck_deletes_what_was_requested_and_brings_nothing_of_it_back() {
    let (mut world, id) = copied_and_not_recorded().await;
    let (offsite, away) = (world.place("offsite"), world.place("away"));
    world.cancel(world.copy(id).await).await;
    world
        .sql("UPDATE pgdumpd.backup_jobs SET lease_expires_at = now() WHERE state = 'running'")
        .await;
    std::fs::rename(&offsite, &away).unwrap();
    // The daemon ends the copy; the storage is away.
    world.set("storages.offsite", "storage_id", id_in(&away));
    let daemon = world.daemon().await;
    world.ended(world.copy(id).await).await;
    daemon.stop().await;
    world.say(&["delete", &id.to_string(), "--yes"]).code(7);
    std::fs::rename(&away, &offsite).unwrap();
    let said = world.fsck(&[]).code(6);
    assert!(said.out.contains("deletion_unfinished"), "{}", said.out);
    world.fsck(&["--repair"]).code(0);
    assert_eq!(World::files_in(&offsite), [""; 0]);
    assert_eq!(world.status(id).await.copies_stored, 0);
}

#[tokio::test]
async fn a_copy_that_was_out_of_reach_of_delete_goes_when_a_daemon_reaches_it() {
    let (mut world, id) = copied_and_not_recorded().await;
    let (offsite, away) = (world.place("offsite"), world.place("away"));
    // A daemon that starts while the storage is away must not make another one.
    world.set("storages.offsite", "storage_id", id_in(&offsite));
    std::fs::rename(&offsite, &away).unwrap();
    let daemon = world.daemon().await;
    let argument = id.to_string();
    let said = world.say(&["delete", &argument, "--yes"]).code(7);
    assert!(
        said.err
            .contains("something of it may be in storage \"offsite\""),
        "{}",
        said.err
    );
    assert_eq!(world.files(), [""; 0]);
    daemon.stop().await;
    std::fs::rename(&away, &offsite).unwrap();

    let daemon = world.daemon().await;
    eventually("the copy is deleted", SOON, async || {
        World::files_in(&offsite).is_empty().then_some(())
    })
    .await;
    eventually("and logged", SOON, async || {
        daemon.log().contains("BACKUP_DELETED").then_some(())
    })
    .await;
    world.say(&["delete", &argument, "--yes"]).code(3);
    world.assert_explained();
}

#[tokio::test]
async fn a_recorded_copy_in_a_storage_that_was_away_goes_when_a_daemon_reaches_it() {
    let world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let (offsite, away) = (world.place("offsite"), world.place("away"));
    std::fs::rename(&offsite, &away).unwrap();
    let said = world.say(&["delete", &id.to_string(), "--yes"]).code(7);
    assert!(
        said.err.contains("it stays in storage \"offsite\""),
        "{}",
        said.err
    );
    std::fs::rename(&away, &offsite).unwrap();

    let _daemon = world.daemon().await;
    world.held_by(id, "0 of 2").await;
    assert_eq!(World::files_in(&offsite), [""; 0]);
    world.assert_explained();
}

#[tokio::test]
async fn a_cancelled_job_whose_backup_was_whole_has_a_backup_that_is_recorded() {
    let (world, id) = stored_and_not_recorded(BackupRequest::new("shop")).await;
    world.cancel(id).await;
    let _daemon = world.daemon().await;
    assert_eq!(world.ended(id).await.state, JobState::Cancelled);
    is_recorded_and_goes_by_its_id(&world, id).await;
}

#[tokio::test]
async fn a_job_that_failed_with_its_daemon_has_the_backup_that_was_whole() {
    let request = BackupRequest::new("shop").max_attempts(1);
    let (world, id) = stored_and_not_recorded(request).await;
    let _daemon = world.daemon().await;
    let status = world.failed(id).await;
    assert_eq!(status.error_code.as_deref(), Some("daemon_died"));
    is_recorded_and_goes_by_its_id(&world, id).await;
}

#[tokio::test]
async fn a_cancelled_copy_that_was_whole_is_recorded() {
    let (world, id) = copied_and_not_recorded().await;
    world.cancel(world.copy(id).await).await;
    let _daemon = world.daemon().await;
    world.held_by(id, "2 of 2").await;
    let copy = world.ended(world.copy(id).await).await;
    assert_eq!(copy.state, JobState::Cancelled);
    world.assert_explained();
}

#[tokio::test]
async fn an_adopted_clone_neither_deletes_nor_copies_the_originals_backups() {
    let mut world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    let files = World::files_in(&world.place("offsite"));
    let original = world.queue_id().await.to_string();
    world
        .say(&["adopt", "--queue-id", &original, "--force"])
        .code(0);
    let argument = id.to_string();
    for command in [
        &["delete", &argument, "--yes"][..],
        &["copy", &argument, "--to", "offsite"],
    ] {
        let said = world.say(command).code(1);
        assert!(said.err.contains("another queue"), "{}", said.err);
        assert!(said.err.contains("adopted"), "{}", said.err);
    }
    world.set("targets.shop", "keep_last", "1");
    let clone = world.daemon().await;
    whole(&world, &clone).await;
    assert!(
        files
            .iter()
            .all(|file| world.place("offsite").join(file).exists())
    );
}

#[tokio::test]
async fn a_job_that_has_not_ended_is_not_deleted() {
    let world = World::new().await;
    let id = world.enqueue().await;
    let said = world.say(&["delete", &id.to_string(), "--yes"]).code(1);
    assert!(said.err.contains("has not ended"), "{}", said.err);
    assert!(said.err.contains("pgdumpd cancel"), "{}", said.err);
    let _daemon = world.daemon().await;
    world.succeeded(id).await;
    world.assert_clean(1).await;
}

#[tokio::test]
async fn delete_finishes_what_a_daemon_began_to_delete() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    daemon.stop().await;
    world
        .sql("UPDATE pgdumpd.backup_copies SET state = 'deleting'")
        .await;
    for archive in world.backups() {
        std::fs::remove_file(manifest_of(&archive)).unwrap();
    }
    world.say(&["delete", &id.to_string(), "--yes"]).code(0);
    assert_eq!(world.files(), [""; 0]);
}

#[tokio::test]
async fn a_storage_that_cannot_be_opened_is_named_although_nothing_is_recorded_there() {
    let mut world = copying(&[]).await;
    world.add_storage("offsite");
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    daemon.stop().await;
    std::fs::rename(world.place("offsite"), world.place("away")).unwrap();
    let said = world.say(&["delete", &id.to_string(), "--yes"]).code(7);
    let text = "something of it may be in storage \"offsite\"";
    assert!(said.err.contains(text), "{}", said.err);
    assert_eq!(world.files(), [""; 0]);
}

#[tokio::test]
async fn a_request_that_a_daemon_finishes_takes_every_backup_of_the_job() {
    let world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    // Another one, whose daemon died: no row names it.
    let (offsite, away) = (world.place("offsite"), world.place("away"));
    let recorded = &World::backups_in(&offsite)[0];
    let other = recorded.with_file_name(format!("{}.dump", Uuid::new_v4()));
    std::fs::copy(recorded, &other).unwrap();
    std::fs::copy(manifest_of(recorded), manifest_of(&other)).unwrap();
    std::fs::rename(&offsite, &away).unwrap();
    world.say(&["delete", &id.to_string(), "--yes"]).code(7);
    std::fs::rename(&away, &offsite).unwrap();
    let _daemon = world.daemon().await;
    world.held_by(id, "0 of 2").await;
    assert_eq!(World::files_in(&offsite), [""; 0]);
}

#[tokio::test]
async fn a_backup_that_is_being_deleted_is_not_called_damaged() {
    let world = World::new().await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    // It would finish the deletion.
    daemon.stop().await;
    // As it is between the manifest's end and the row's.
    let archive = world.backups().remove(0);
    std::fs::remove_file(format!("{}.manifest.json", archive.display())).unwrap();
    let id = id.to_string();
    let verify = || world.say(&["verify", &id]);
    assert!(
        verify()
            .code(6)
            .err
            .contains("is missing, but the queue says that the backup is stored")
    );
    sqlx::query("INSERT INTO pgdumpd.backup_deletions (job_id) VALUES ($1::uuid)")
        .bind(&id)
        .execute(&world.pool)
        .await
        .unwrap();
    assert!(
        verify()
            .code(3)
            .err
            .contains("the backup is not there any more")
    );
}

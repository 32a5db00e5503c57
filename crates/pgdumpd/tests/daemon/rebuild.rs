//! `pgdumpd fsck --rebuild`: the rows of a lost queue, made anew from its backups.

use pgdumpd::migrate::{Grants, migrate};
use pgdumpd_testkit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::fsck::{backed_up, change_manifest, manifest_of, second_backup};
use crate::harness::copies::copying;
use crate::harness::{SOON, World, quoted};
use crate::retention::whole;

#[tokio::test]
async fn a_lost_queue_is_rebuilt_from_its_storage() {
    let mut world = World::new().await;
    world.set("targets.shop", "keep_last", "2");
    let daemon = world.daemon().await;
    let first = world
        .enqueue_request(pgdumpd_client::BackupRequest::new("shop").label("first"))
        .await;
    world.succeeded(first).await;
    let second = world.enqueue().await;
    world.succeeded(second).await;
    daemon.stop().await;
    let (queue_id, before) = (world.queue_id().await, world.status(first).await);
    world.sql("DROP SCHEMA pgdumpd CASCADE").await;

    world.say(&["fsck", "--rebuild"]).code(1);
    world.say(&["migrate"]).code(0);
    let said = world.say(&["fsck", "--rebuild", "--json"]).code(0).json();
    assert_eq!(
        (&said["found"], &said["jobs"], &said["copies"]),
        (&2.into(), &2.into(), &2.into())
    );
    assert_eq!(world.queue_id().await, queue_id);
    // Once more changes nothing.
    let again = world.say(&["fsck", "--rebuild", "--json"]).code(0).json();
    assert_eq!((&again["jobs"], &again["copies"]), (&0.into(), &0.into()));
    world.fsck(&[]).code(0);

    let after = world.status(first).await;
    assert_eq!(after.state, before.state);
    assert_eq!(after.label, before.label);
    assert_eq!(after.sha256, before.sha256);
    assert_eq!(after.size_bytes, before.size_bytes);
    assert_eq!(after.rows_done, before.rows_done);
    assert_eq!(after.requested_by, before.requested_by);
    world.say(&["verify", &second.to_string()]).code(0);

    // It goes on as if nothing had happened: the third success removes the first.
    let daemon = world.daemon().await;
    let third = world.enqueue().await;
    world.succeeded(third).await;
    pgdumpd_testkit::eventually("the first is removed", crate::harness::SOON, async || {
        (world.files().len() == 4).then_some(())
    })
    .await;
    // What was deleted does not come back, and there is nothing else to add.
    let said = world.say(&["fsck", "--rebuild", "--json"]).code(0).json();
    assert_eq!((&said["jobs"], &said["copies"]), (&json!(0), &json!(0)));
    daemon.stop().await;
    world.say(&["show", &first.to_string()]).code(3);
    world.say(&["delete", &second.to_string(), "--yes"]).code(0);
}

#[tokio::test]
async fn a_queue_in_use_is_not_rebuilt_over_nor_one_of_two_by_chance() {
    let (mut world, ..) = backed_up().await;
    let (other, ..) = backed_up().await;
    let path = other.storage().display().to_string();
    world.set("storages.other", "path", quoted(&path));
    world.set("targets.shop", "storage", quoted("local"));
    // Its own backups alone are meant, as long as it has such.
    let said = world.say(&["fsck", "--rebuild", "--json"]).code(0).json();
    assert_eq!(said["found"], 1);
    let wanted = other.queue_id().await.to_string();
    let said = world
        .say(&["fsck", "--rebuild", "--queue-id", &wanted])
        .code(1);
    assert!(said.err.contains("the queue is not empty"), "{}", said.err);
    let nobody = Uuid::new_v4().to_string();
    let said = world
        .say(&["fsck", "--rebuild", "--queue-id", &nobody])
        .code(1);
    assert!(
        said.err.contains("no backup to rebuild from"),
        "{}",
        said.err
    );
    world.fsck(&[]).code(0);

    let fresh = world.cluster.database().await;
    let url = fresh.url();
    world.set("queue", "url", quoted(&url));
    world.say(&["migrate"]).code(0);
    let said = world.say(&["fsck", "--rebuild"]).code(1);
    assert!(
        said.err.contains("backups of several queues"),
        "{}",
        said.err
    );
    let _daemon = world.daemon().await;
    let said = world
        .say(&["fsck", "--rebuild", "--queue-id", &wanted])
        .code(1);
    assert!(said.err.contains("daemons are alive"), "{}", said.err);
}

#[tokio::test]
async fn an_older_state_of_the_queue_gets_the_rows_that_it_lacks_while_daemons_run() {
    let mut world = copying(&["offsite"]).await;
    let daemon = world.daemon().await;
    let before = world.back_up().await;
    world.held_by(before, "2 of 2").await;
    let pool = world.pool.clone();
    let rows = async || -> Vec<(Uuid, String, String)> {
        sqlx::query_as(
            "SELECT c.job_id, c.storage, c.state FROM pgdumpd.backup_copies AS c ORDER BY c.claimed_at, c.storage",
        )
        .fetch_all(&pool)
        .await
        .unwrap()
    };
    let between = world.back_up().await;
    world.held_by(between, "2 of 2").await;
    let deleted = world.back_up().await;
    world.held_by(deleted, "2 of 2").await;
    let wanted = rows().await;
    daemon.stop().await;
    // As a recovery to a point in time leaves it.
    let forget = format!("DELETE FROM pgdumpd.backup_jobs WHERE id = '{between}'");
    world.sql(&forget).await;
    let forget = format!(
        "DELETE FROM pgdumpd.backup_copies WHERE job_id = '{before}' AND storage = 'offsite'"
    );
    world.sql(&forget).await;
    // Requested, and not done yet.
    let request = format!("INSERT INTO pgdumpd.backup_deletions (job_id) VALUES ('{deleted}')");
    world.sql(&request).await;
    let forget = format!("DELETE FROM pgdumpd.backup_copies WHERE job_id = '{deleted}'");
    world.sql(&forget).await;

    world.set("targets.shop", "keep_last", "2");
    let id = world.queue_id().await;
    let daemon = world.daemon().await;
    let said = world.say(&["fsck", "--rebuild", "--json"]).code(0).json();
    assert_eq!(said["jobs"], 1, "{said}");
    assert_eq!(said["copies"], 3, "{said}");
    assert_eq!(world.queue_id().await, id);
    assert_eq!(rows().await, wanted[..4]);
    let said = world.say(&["fsck", "--rebuild", "--json"]).code(0).json();
    assert_eq!((&said["jobs"], &said["copies"]), (&0.into(), &0.into()));
    // They count in their order.
    let last = whole(&world, &daemon).await;
    eventually("the oldest is deleted", SOON, async || {
        let files = World::files_in(&world.storage());
        (!files.iter().any(|file| file.contains(&before.to_string()))).then_some(())
    })
    .await;
    for id in [between, last] {
        world
            .say(&["verify", &id.to_string(), "--storage", "local"])
            .code(0);
    }
}

#[tokio::test]
async fn a_backup_that_no_row_can_hold_keeps_no_other_from_being_rebuilt() {
    let (world, id, path) = backed_up().await;
    let daemon = world.daemon().await;
    let (odd, unreadable) = (world.enqueue().await, world.enqueue().await);
    world.succeeded(odd).await;
    world.succeeded(unreadable).await;
    daemon.stop().await;
    let of = |id: Uuid| {
        let mut backups = world.backups().into_iter();
        backups
            .find(|path| path.to_str().unwrap().contains(&id.to_string()))
            .unwrap()
    };
    change_manifest(&of(odd), |manifest| manifest["attempt"] = json!(101));
    // What warnings the row can hold, it holds.
    change_manifest(&path, |manifest| {
        manifest["warnings"] = json!(vec!["\u{1}".repeat(2000); 100]);
    });
    std::fs::write(manifest_of(&of(unreadable)), "{").unwrap();
    let second = second_backup(&world, id, &path).await;
    world.sql("DROP SCHEMA pgdumpd CASCADE").await;
    world.say(&["migrate"]).code(0);

    let said = world.say(&["fsck", "--rebuild", "--json"]).code(6).json();
    assert_eq!(
        (&said["found"], &said["jobs"]),
        (&4.into(), &1.into()),
        "{said}"
    );
    let left_out = said["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 2, "{said}");
    assert!(
        said["left_out"]
            .to_string()
            .contains("backup_jobs_max_attempts_is_1_to_100"),
        "{said}"
    );
    // The later of its two backups is the job's, as it was, in row and copy.
    let (job, copy, key): (i64, i64, String) = sqlx::query_as(
        "SELECT j.size_bytes, c.size_bytes, c.object_key
         FROM pgdumpd.backup_jobs AS j JOIN pgdumpd.backup_copies AS c ON c.job_id = j.id",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(job, copy);
    assert!(second.ends_with(&key), "{key}");
}

#[tokio::test]
async fn only_the_owner_rebuilds_and_others_are_told_so() {
    let (mut world, ..) = backed_up().await;
    let lost = world.queue_id().await;
    world.sql("DROP SCHEMA pgdumpd CASCADE").await;
    let role = world.cluster.role("").await;
    let grants = Grants {
        daemons: vec![role.name.clone()],
        ..Grants::default()
    };
    migrate(&world.queue.pool().await, &grants).await.unwrap();
    let owner = quoted(&world.queue.url());
    let url = quoted(&world.queue.url_as(&role.name));
    world.set("queue", "url", url);
    let said = world.say(&["fsck", "--rebuild"]).code(1);
    assert!(said.err.contains("this role may not"), "{}", said.err);
    assert!(said.err.contains("pgdumpd migrate"), "{}", said.err);
    world.set("queue", "url", owner);
    assert_ne!(world.queue_id().await, lost);
    world.say(&["fsck", "--rebuild"]).code(0);
    assert_eq!(world.queue_id().await, lost);
}

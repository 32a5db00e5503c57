//! Which copies are kept: `keep_last` in each storage, and `pgdumpd delete` with copies still to come.

use pgdumpd_client::JobState;
use pgdumpd_testkit::eventually;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::harness::copies::{copying, held, hold_publishing};
use crate::harness::logged;
use crate::harness::{SOON, World};

#[tokio::test]
async fn a_backup_that_was_deleted_before_its_copy_needs_none() {
    let mut world = copying(&["offsite"]).await;
    world.set("daemon", "max_copies", "0");
    world.set("targets.shop", "keep_last", "1");
    let daemon = world.daemon().await;
    let (old, by_hand) = (world.back_up().await, world.back_up().await);
    world.held_by(old, "0 of 2").await;
    daemon.stop().await;
    for file in world.files() {
        std::fs::remove_file(world.storage().join(file)).unwrap();
    }

    world.set("daemon", "max_copies", "2");
    let daemon = world.daemon().await;
    let moot = world.ended(world.copy(old).await).await;
    assert_eq!(moot.state, JobState::Cancelled);
    let why = "no storage holds the backup any more: there is nothing to copy";
    assert_eq!(moot.message.as_deref(), Some(why));
    let lost = world.failed(world.copy(by_hand).await).await;
    assert_eq!(
        lost.error_code.as_deref(),
        Some("copy_source_missing"),
        "{lost:#?}"
    );
    assert_eq!(lost.attempt, 1);
    assert!(
        logged(&daemon, "ERROR", "does not hold the backup that it should"),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn each_storage_keeps_its_own_newest_backups() {
    let mut world = copying(&["offsite"]).await;
    world.set("targets.shop", "keep_last", "2");
    let _daemon = world.daemon().await;
    let mut backups = Vec::new();
    for _ in 0..4 {
        let id = world.back_up().await;
        world
            .until(id, "it is copied", |status| status.copies_stored == 2)
            .await;
        backups.push(id);
    }
    for (id, copies) in backups.iter().zip(["0 of 2", "0 of 2", "2 of 2", "2 of 2"]) {
        world.held_by(*id, copies).await;
    }
    for place in [world.storage(), world.place("offsite")] {
        eventually("no more than two are left", SOON, async || {
            let files = World::files_in(&place);
            let kept = |file: &String| backups[2..].iter().any(|id| file.contains(&id.to_string()));
            files.iter().all(kept).then_some(())
        })
        .await;
        let mut ids: Vec<Uuid> = World::backups_in(&place)
            .iter()
            .map(|path| world.manifest(path).backup_id)
            .collect();
        ids.sort_unstable();
        let mut newest = backups[2..].to_vec();
        newest.sort_unstable();
        assert_eq!(ids, newest);
    }
}

#[tokio::test]
async fn a_late_copy_of_an_old_backup_pushes_out_no_newer_one() {
    let mut world = copying(&["offsite"]).await;
    world.set("daemon", "max_copies", "0");
    let daemon = world.daemon().await;
    let (old, new) = (world.back_up().await, world.back_up().await);
    daemon.stop().await;
    // The copy of the older one comes an hour after that of the newer one.
    let later = world.copy(old).await;
    sqlx::query("UPDATE pgdumpd.backup_jobs SET run_at = now() + interval '1 hour' WHERE id = $1")
        .bind(later)
        .execute(&world.pool)
        .await
        .unwrap();
    world.set("daemon", "max_copies", "1");
    world.set("targets.shop", "keep_last", "1");
    let daemon = world.daemon().await;
    world.held_by(new, "2 of 2").await;
    world.make_due(later).await;
    world.succeeded(later).await;
    eventually("the rules are applied to both", SOON, async || {
        (daemon.log().matches("applied the target's rules").count() >= 2).then_some(())
    })
    .await;
    // What was just copied stays until the rules are applied again.
    let mut both = [old, new];
    both.sort_unstable();
    assert_eq!(offsite(&world), both);
    let last = world.back_up().await;
    world.held_by(last, "2 of 2").await;
    eventually("the older ones are gone", SOON, async || {
        let files = World::files_in(&world.place("offsite"));
        let of_last = |file: &String| file.contains(&last.to_string());
        files.iter().all(of_last).then_some(())
    })
    .await;
    assert_eq!(offsite(&world), [last]);
    assert_eq!(world.status(new).await.copies_stored, 0);
    assert_eq!(world.status(old).await.copies, "0 of 2");
}

/// What the further storage holds, sorted.
fn offsite(world: &World) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = World::backups_in(&world.place("offsite"))
        .iter()
        .map(|path| world.manifest(path).backup_id)
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn delete_removes_a_backup_everywhere_and_its_copies_that_are_to_come() {
    let mut world = copying(&["offsite", "tape"]).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "3 of 3").await;
    daemon.stop().await;
    world.set("daemon", "max_copies", "0");
    let daemon = world.daemon().await;
    let queued = world.back_up().await;
    daemon.stop().await;

    let said = world.say(&["delete", &queued.to_string()]).code(0);
    assert!(
        said.out
            .contains("would cancel the copy to storage \"offsite\""),
        "{}",
        said.out
    );
    assert_eq!(world.copies(queued).await[0].state, JobState::Queued);
    world.say(&["delete", &queued.to_string(), "--yes"]).code(0);
    for copy in world.copies(queued).await {
        assert_eq!(copy.state, JobState::Cancelled);
    }

    // One storage is away: the others lose it, and what stays is told.
    let (tape, away) = (world.place("tape"), world.place("away"));
    std::fs::rename(&tape, &away).unwrap();
    let id = id.to_string();
    let said = world.say(&["delete", &id, "--yes"]).code(7);
    assert_eq!(said.out.matches("removed ").count(), 2, "{}", said.out);
    assert!(
        said.err.contains("it stays in storage \"tape\""),
        "{}",
        said.err
    );
    let status = world.say(&["status", &id, "--json"]).code(0).json();
    assert_eq!(status["copies"], "1 of 3");
    std::fs::rename(&away, &tape).unwrap();
    world.say(&["delete", &id, "--yes"]).code(0);
    world.say(&["delete", &id, "--yes"]).code(3);
    for storage in ["storage", "offsite", "tape"] {
        assert_eq!(World::files_in(&world.place(storage)), [""; 0], "{storage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_stops_a_copy_that_runs_before_it_looks() {
    let world = copying(&["offsite"]).await;
    let holder = hold_publishing(&world).await;
    let _daemon = world.daemon().await;
    let id = world.back_up().await;
    held(&world).await;
    let released = async {
        eventually("the copy gives up", SOON, async || {
            World::files_in(&world.place("offsite"))
                .is_empty()
                .then_some(())
        })
        .await;
        holder.close().await.unwrap();
    };
    let argument = id.to_string();
    let said = std::thread::scope(|scope| {
        let deleting = scope.spawn(|| world.say(&["delete", &argument, "--yes"]));
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(released));
        deleting.join().unwrap()
    });
    let said = said.code(0);
    assert!(
        said.out
            .contains("cancelling the copy to storage \"offsite\""),
        "{}",
        said.out
    );
    for storage in ["storage", "offsite"] {
        assert_eq!(World::files_in(&world.place(storage)), [""; 0], "{storage}");
    }
    assert_eq!(
        world.ended(world.copy(id).await).await.state,
        JobState::Cancelled
    );
}

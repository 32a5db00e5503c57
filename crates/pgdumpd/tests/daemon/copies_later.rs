//! Copies that come later than their backup: what a person had to put right first, and what is asked for again.

use pgdumpd_client::{BackupRequest, BackupSpec, JobState};
use pgdumpd_testkit::{contents, eventually, fill};

use crate::encryption::{MARKER, mark, marked, pair};
use crate::harness::copies::copying;
use crate::harness::{SOON, World, quoted};

#[tokio::test]
async fn a_storage_that_a_person_must_put_right_costs_no_copy() {
    let world = copying(&["offsite"]).await;
    // Not a storage: a permanent fault for whoever would begin a backup.
    let offsite = world.place("offsite");
    std::fs::create_dir(&offsite).unwrap();
    std::fs::write(offsite.join("notes.txt"), "mine").unwrap();
    let _daemon = world.daemon().await;
    let id = world.back_up().await;
    let copy = world.copy(id).await;
    let told = world.requeued(copy).await;
    let code = told.error_code.as_deref();
    assert_eq!(code, Some("storage_foreign"), "{told:#?}");
    std::fs::remove_file(offsite.join("notes.txt")).unwrap();
    world.make_due(copy).await;
    world.succeeded(copy).await;
    world.held_by(id, "2 of 2").await;
}

#[tokio::test]
async fn copies_that_are_missing_can_be_asked_for() {
    let mut world = World::new().await;
    world.add_storage("offsite");
    world.set("targets.shop", "storage", quoted("local"));
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    daemon.stop().await;
    let text = id.to_string();

    let said = world.say(&["copy", &text]).code(1);
    assert!(said.err.contains("--to"), "{}", said.err);
    let said = world.say(&["copy", &text, "--to", "ofsite"]).code(1);
    assert!(
        said.err.contains("Configured are: local, offsite"),
        "{}",
        said.err
    );
    world
        .say(&["copy", &uuid::Uuid::nil().to_string(), "--to", "offsite"])
        .code(3);
    let said = world.say(&["copy", &text, "--to", "local"]).code(0);
    assert!(
        said.out.contains("holds the backup already"),
        "{}",
        said.out
    );

    // Of a target that has copies only since then.
    world.set("targets.shop", "copies", "[\"offsite\"]");
    let said = world.say(&["copy", &text]).code(0);
    assert!(said.out.contains("is enqueued"), "{}", said.out);
    let said = world.say(&["copy", &text]).code(0);
    assert!(said.out.contains("under way already"), "{}", said.out);
    // And of one whose copy has ended without being made.
    let copy = world.copy(id).await;
    world.cancel(copy).await;
    assert_eq!(world.ended(copy).await.state, JobState::Cancelled);
    let said = world.say(&["copy", &text, "--json"]).code(0).json();
    assert_eq!(said["copies"][0]["outcome"], "enqueued", "{said}");
    let _daemon = world.daemon().await;
    world.held_by(id, "2 of 2").await;
}

#[tokio::test]
async fn a_copy_of_a_sealed_backup_opens_with_its_identity_and_brings_the_roles() {
    let mut world = copying(&["offsite"]).await;
    let own = pair(&world, "own.key");
    for (key, value) in [
        ("encrypt_to", format!("[{}]", quoted(&own.public))),
        ("manifest", quoted("sealed")),
        ("globals", quoted("without-passwords")),
    ] {
        world.set("targets.shop", key, value);
    }
    let role = world.cluster.role("").await;
    fill(&world.shop, 1).await;
    mark(&world).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    world.held_by(id, "2 of 2").await;
    daemon.stop().await;
    std::fs::remove_dir_all(world.storage()).unwrap();
    assert_eq!(
        marked(&[world.place("offsite")]),
        Vec::<std::path::PathBuf>::new()
    );

    let id = id.to_string();
    let from = ["--storage", "offsite", "-i", &own.file];
    let said = |command: &[&str]| world.say(&[command, &from[..]].concat()).code(0);
    said(&["verify", &id]);
    let shown = said(&["show", &id]);
    assert!(shown.out.contains(MARKER), "{}", shown.out);
    let roles = world.dir.path().join("roles.sql");
    said(&["fetch", &id, "--globals", "-o", roles.to_str().unwrap()]);
    let roles = std::fs::read_to_string(roles).unwrap();
    assert!(roles.contains(&role.name), "{roles}");
    let archive = world.dir.path().join("archive.dump");
    said(&["fetch", &id, "-o", archive.to_str().unwrap()]);
    let restored = world.restore(&archive).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);
}

#[tokio::test]
async fn sealed_parts_of_a_rebuilt_queue_push_each_other_out_no_more() {
    let mut world = World::new().await;
    let own = pair(&world, "own.key");
    world.set(
        "targets.shop",
        "encrypt_to",
        format!("[{}]", quoted(&own.public)),
    );
    world.set("targets.shop", "manifest", quoted("sealed"));
    world.set("targets.shop", "keep_last", "1");
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let without = |table: &str| {
        let spec = BackupSpec {
            exclude_tables: vec![table.to_owned()],
            ..BackupSpec::default()
        };
        BackupRequest::new("shop").spec(spec)
    };
    for table in ["wide_text", "bytes"] {
        let id = world.enqueue_request(without(table)).await;
        world.succeeded(id).await;
    }
    daemon.stop().await;
    world.queue.execute("DROP SCHEMA pgdumpd CASCADE").await;
    world.say(&["migrate"]).code(0);
    world.say(&["fsck", "--rebuild"]).code(0);

    let daemon = world.daemon().await;
    world.back_up().await;
    eventually("the rules are applied", SOON, async || {
        daemon
            .log()
            .contains("applied the target's rules")
            .then_some(())
    })
    .await;
    assert_eq!(world.backups().len(), 3, "{:#?}", world.files());
    assert!(daemon.log().contains("neither counted nor deleted"));
}

//! `keep_last` among several daemons, storages, databases and producers: the newest always stay.

use std::path::PathBuf;

use pgdumpd_client::BackupRequest;
use pgdumpd_testkit::{FaultyS3, S3Fault, S3Operation, eventually, fill, s3_server};
use rustix::process::Signal;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::fsck::change_manifest;
use crate::harness::copies::{copying, hold_publishing};
use crate::harness::{Daemon, SOON, World, quoted};
use crate::manifests::put_in_place;
use crate::retention::{APPLIED, held, keeping, sorted, state_of, whole};

/// Waits until the daemon has applied the rules so many times.
async fn applied(daemon: &Daemon, times: usize) {
    eventually("the rules are applied", SOON, async || {
        (daemon.log().matches(APPLIED).count() >= times).then_some(())
    })
    .await;
}

/// The ids of the backups that a storage lists.
fn listed(world: &World, storage: &str) -> Vec<Uuid> {
    let said = world
        .say(&["list", "--storage", storage, "--json"])
        .code(0)
        .json();
    let ids = said.as_array().unwrap().iter();
    let mut ids: Vec<Uuid> = ids
        .map(|manifest| manifest["backup_id"].as_str().unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

/// Two daemons, each with a success after which its list of the storage is held.
struct Late {
    world: World,
    faults: FaultyS3,
    daemons: [Daemon; 2],
    ids: [Uuid; 2],
}

/// Both daemons stand still.
async fn two_late_daemons() -> Late {
    let mut world = crate::remote::world().await;
    let faults = FaultyS3::start(s3_server().await).await;
    world.set("storages.local", "endpoint", quoted(faults.endpoint()));
    world.set("targets.shop", "keep_last", "1");
    let daemons = [world.daemon().await, world.daemon().await];
    eventually("both have checked the storage", SOON, async || {
        let enough = |operation| faults.count(operation) >= 2;
        (enough(S3Operation::Abort) && enough(S3Operation::ListUploads)).then_some(())
    })
    .await;
    let lists = faults.count(S3Operation::List);
    faults.fail(S3Operation::List, 2, S3Fault::Held);
    daemons[1].signal(Signal::STOP);
    let mut ids = Vec::new();
    for (number, daemon) in daemons.iter().enumerate() {
        daemon.signal(Signal::CONT);
        let id = world.enqueue().await;
        world.succeeded(id).await;
        eventually("its list is held", SOON, async || {
            (faults.count(S3Operation::List) > lists + number).then_some(())
        })
        .await;
        ids.push(id);
        daemon.signal(Signal::STOP);
    }
    Late {
        world,
        faults,
        daemons,
        ids: [ids[0], ids[1]],
    }
}

impl Late {
    /// Waits until the daemon has applied the rules, or has found out that it can apply none.
    async fn done(&self, daemon: usize) {
        let log = || self.daemons[daemon].log();
        eventually("the rules are applied", SOON, async || {
            let done = log().contains(APPLIED) || log().contains("older backups stay");
            done.then_some(())
        })
        .await;
    }

    async fn expect_the_newest(&self) {
        assert_eq!(listed(&self.world, "local"), [self.ids[1]]);
        assert_eq!(state_of(&self.world, self.ids[0]).await, "deleted");
        assert_eq!(state_of(&self.world, self.ids[1]).await, "stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_with_late_lists_keep_the_newest_when_the_first_acts_first() {
    let late = two_late_daemons().await;
    late.faults.release(2);
    late.daemons[0].signal(Signal::CONT);
    late.done(0).await;
    late.daemons[1].signal(Signal::CONT);
    late.done(1).await;
    late.expect_the_newest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_with_late_lists_keep_the_newest_when_the_second_acts_first() {
    let late = two_late_daemons().await;
    late.faults.release(2);
    late.daemons[1].signal(Signal::CONT);
    late.done(1).await;
    late.daemons[0].signal(Signal::CONT);
    late.done(0).await;
    late.expect_the_newest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_that_have_seen_the_same_backups_keep_the_newest_when_they_act_at_once() {
    let late = two_late_daemons().await;
    // Each has read every manifest before it sees whether the first object is there.
    let heads = late.faults.count(S3Operation::Head);
    late.faults.fail(S3Operation::Head, 2, S3Fault::Held);
    late.faults.release(2);
    for daemon in &late.daemons {
        daemon.signal(Signal::CONT);
    }
    eventually("both have listed the storage", SOON, async || {
        (late.faults.count(S3Operation::Head) >= heads + 2).then_some(())
    })
    .await;
    late.faults.release(2);
    late.done(0).await;
    late.done(1).await;
    late.expect_the_newest().await;
}

#[tokio::test]
async fn an_adopted_backup_pushes_out_no_newer_one() {
    let mut world = World::new().await;
    let (adopted, killed) = world.killed_before_its_row_ends().await;
    drop(killed);
    world.set("targets.shop", "keep_last", "1");
    let newer = world
        .enqueue_request(BackupRequest::new("shop").priority(1))
        .await;
    let daemon = world.daemon().await;
    world.succeeded(newer).await;
    world.succeeded(adopted).await;
    // To either of them.
    applied(&daemon, 2).await;
    assert!(daemon.log().contains("adopting it"), "{}", daemon.log());
    assert_eq!(held(&world), sorted([adopted, newer]));
    let order: Vec<Uuid> =
        sqlx::query_scalar("SELECT job_id FROM pgdumpd.backup_copies ORDER BY claimed_at")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(order, [adopted, newer]);
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), [third]);
}

#[tokio::test]
async fn a_repaired_backup_in_a_further_storage_pushes_out_none_that_comes_later() {
    let mut world = copying(&["offsite"]).await;
    world.set("daemon", "max_rescues", "0");
    let (lost, killed) = world.killed_before_its_row_ends().await;
    drop(killed);
    let daemon = world.daemon().await;
    world.failed(lost).await;
    world
        .until(lost, "its backup is recorded", |status| {
            status.copies_stored == 1
        })
        .await;
    world
        .say(&["copy", &lost.to_string(), "--to", "offsite"])
        .code(0);
    world.held_by(lost, "2 of 2").await;
    daemon.stop().await;
    world.set("targets.shop", "keep_last", "1");
    let daemon = world.daemon().await;
    let mut newest = lost;
    for number in 1..=2 {
        newest = world.back_up().await;
        world.succeeded(world.copy(newest).await).await;
        applied(&daemon, 2 * number).await;
    }
    assert_eq!(listed(&world, "offsite"), [newest]);
    assert_eq!(listed(&world, "local"), [newest]);
}

#[tokio::test]
async fn after_a_rebuild_the_order_is_the_queues_and_not_that_of_a_daemons_clock() {
    let mut world = keeping(2).await;
    let daemon = world.daemon().await;
    let (first, second) = (whole(&world, &daemon).await, whole(&world, &daemon).await);
    daemon.stop().await;
    for archive in world.backups() {
        if world.manifest(&archive).backup_id == first {
            // As a daemon whose clock is a day ahead would have written it.
            change_manifest(&archive, |manifest| {
                let ahead = chrono::Utc::now() + chrono::TimeDelta::days(1);
                manifest["started_at"] = serde_json::json!(ahead);
            });
        }
    }
    world.sql("DROP SCHEMA pgdumpd CASCADE").await;
    world.say(&["migrate"]).code(0);
    world.say(&["fsck", "--rebuild"]).code(0);
    let daemon = world.daemon().await;
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([second, third]));
    daemon.stop().await;

    // Without the claim in the manifest nobody knows how old it is: it stays, and that is said once.
    for archive in world.backups() {
        if world.manifest(&archive).backup_id == second {
            change_manifest(&archive, |manifest| {
                manifest["claimed_at"] = serde_json::Value::Null;
            });
        }
    }
    world.sql("DROP SCHEMA pgdumpd CASCADE").await;
    world.say(&["migrate"]).code(0);
    let said = world.say(&["fsck", "--rebuild", "--json"]).code(0).json();
    assert_eq!(said["without_age"], 1, "{said}");
    world.set("targets.shop", "keep_last", "1");
    let daemon = world.daemon().await;
    for _ in 0..2 {
        whole(&world, &daemon).await;
    }
    let fourth = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([second, fourth]));
    let said = daemon
        .log()
        .matches("does not know when they were taken")
        .count();
    assert_eq!(said, 1, "{}", daemon.log());
}

#[tokio::test]
async fn an_address_that_leads_to_another_database_deletes_nothing_of_the_former_one() {
    let mut world = copying(&["offsite"]).await;
    world.set("targets.shop", "keep_last", "1");
    let daemon = world.daemon().await;
    let former = world.back_up().await;
    world.succeeded(world.copy(former).await).await;
    applied(&daemon, 2).await;
    let other = world.cluster.database().await;
    world.set("targets.shop", "url", quoted(&other.url()));
    let served = "targets and storages in service";
    let before = daemon.log().matches(served).count();
    daemon.signal(Signal::HUP);
    eventually("it has read its configuration again", SOON, async || {
        (daemon.log().matches(served).count() > before).then_some(())
    })
    .await;
    let mut newest = former;
    for number in 2..=3 {
        newest = world.back_up().await;
        world.succeeded(world.copy(newest).await).await;
        applied(&daemon, 2 * number).await;
    }
    for storage in ["local", "offsite"] {
        assert_eq!(
            listed(&world, storage),
            sorted([former, newest]),
            "{storage}"
        );
    }
    let warning = format!(
        "1 backup of database \"{}\" (system identifier ",
        world.shop.name()
    );
    let said: Vec<String> = daemon
        .log()
        .lines()
        .filter(|line| line.contains(&warning))
        .map(str::to_owned)
        .collect();
    // Once for each storage.
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains(other.name()), "{said:#?}");
    // And the checks of the daemon report it.
    daemon.signal(Signal::HUP);
    eventually("its checks report it", SOON, async || {
        let said = world.say(&["check", "--json"]);
        said.out
            .contains("target_is_another_database")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_producers_jobs_remove_no_backup_of_an_operator_nor_of_another_producer() {
    let world = keeping(1).await;
    let [one, two] = [world.cluster.role("").await, world.cluster.role("").await];
    for role in [&one, &two] {
        let grant = format!("SELECT pgdumpd.grant_producer('{}')", role.name);
        world.sql(&grant).await;
    }
    let daemon = world.daemon().await;
    let operators = whole(&world, &daemon).await;
    let mut last = Vec::new();
    for role in [&one, &two] {
        let url = world.queue.url_as(&role.name);
        let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
        for _ in 0..2 {
            let before = daemon.log().matches(APPLIED).count();
            let id: Uuid = sqlx::query_scalar(
                "INSERT INTO pgdumpd.backup_jobs (target) VALUES ('shop') RETURNING id",
            )
            .fetch_one(&mut session)
            .await
            .unwrap();
            world.succeeded(id).await;
            applied(&daemon, before + 1).await;
            last.push(id);
        }
    }
    assert_eq!(held(&world), sorted([operators, last[1], last[3]]));
    let newest = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([newest, last[1], last[3]]));
}

#[tokio::test]
async fn what_a_copy_reads_at_this_moment_stays_until_the_copy_has_ended() {
    let mut world = copying(&["offsite"]).await;
    world.set("targets.shop", "keep_last", "1");
    world.set("daemon", "max_copies", "1");
    let holder = hold_publishing(&world).await;
    let daemon = world.daemon().await;
    let read = world.back_up().await;
    crate::harness::copies::held(&world).await;
    for _ in 0..2 {
        whole(&world, &daemon).await;
    }
    assert!(listed(&world, "local").contains(&read));
    holder.close().await.unwrap();
    world.held_by(read, "2 of 2").await;
    let last = world.back_up().await;
    eventually("the older ones are gone", SOON, async || {
        (listed(&world, "local") == [last]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_the_queue_does_not_record_counts_for_nothing() {
    let world = keeping(2).await;
    let daemon = world.daemon().await;
    let first = whole(&world, &daemon).await;
    let unnoted = whole(&world, &daemon).await;
    // As of a job that was cancelled while its daemon died.
    world
        .sql(&format!(
            "DELETE FROM pgdumpd.backup_copies WHERE job_id = '{unnoted}'"
        ))
        .await;
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([first, unnoted, third]));
    let fourth = whole(&world, &daemon).await;
    assert_eq!(held(&world), sorted([unnoted, third, fourth]));
    let said = daemon
        .log()
        .matches("the queue has no record of them")
        .count();
    assert_eq!(said, 1, "{}", daemon.log());
}

#[tokio::test]
async fn a_storage_that_is_moved_away_in_mid_deletion_yields_no_untrue_deleted() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    let first = world.back_up().await;
    world.back_up().await;
    world.back_up().await;
    daemon.stop().await;
    world.set("targets.shop", "keep_last", "1");
    let daemon = world.daemon().await;
    let mut holder = world.queue.connect().await;
    let lock =
        format!("BEGIN; SELECT FROM pgdumpd.backup_copies WHERE job_id = '{first}' FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut holder)
        .await
        .unwrap();
    let second = world.back_up().await;
    eventually("the deletion is about to begin", SOON, async || {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                            AND wait_event_type = 'Lock' AND query LIKE '-- Begins to delete%')",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        waits.then_some(())
    })
    .await;
    let away = world.dir.path().join("away");
    std::fs::rename(world.storage(), &away).unwrap();
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();
    eventually("it gives up", SOON, async || {
        daemon.log().contains("BACKUP_NOT_DELETED").then_some(())
    })
    .await;
    assert_eq!(state_of(&world, first).await, "deleting");
    let begun: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_copies WHERE state = 'deleting'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(begun, 1, "no other is begun where the storage has gone");
    assert!(
        !daemon.log().contains("event=BACKUP_DELETED"),
        "{}",
        daemon.log()
    );
    std::fs::rename(&away, world.storage()).unwrap();
    assert!(held(&world).contains(&second));
    let third = whole(&world, &daemon).await;
    assert_eq!(held(&world), [third]);
    assert_eq!(state_of(&world, first).await, "deleted");
}

#[tokio::test]
async fn a_deletion_whose_daemon_died_is_reported_by_fsck_and_finished_by_any_other() {
    let mut world = keeping(2).await;
    let daemon = world.daemon().await;
    let [first, second, third] = [
        whole(&world, &daemon).await,
        whole(&world, &daemon).await,
        whole(&world, &daemon).await,
    ];
    assert_eq!(held(&world), sorted([second, third]));
    daemon.stop().await;
    let begun = |id: Uuid| {
        format!("UPDATE pgdumpd.backup_copies SET state = 'deleting' WHERE job_id = '{id}'")
    };
    world.sql(&begun(second)).await;
    let id = second.to_string();
    world.say(&["fetch", &id, "-o", "/dev/null"]).code(3);
    let said = world.fsck(&[]).code(6);
    assert!(said.out.contains("deletion_unfinished"), "{}", said.out);
    world.fsck(&["--repair"]).code(0);
    assert_eq!(held(&world), [third]);
    assert_eq!(state_of(&world, second).await, "deleted");
    world.sql(&begun(third)).await;
    // Nobody's rules ask for it any more.
    world.unset("targets.shop");
    world.set("targets.other", "url", quoted(&world.shop.url()));
    let _daemon = world.daemon().await;
    eventually("it is deleted", SOON, async || {
        (state_of(&world, third).await == "deleted").then_some(())
    })
    .await;
    assert!(held(&world).is_empty());
    assert_eq!(state_of(&world, first).await, "deleted");
    world.fsck(&[]).code(0);
}

#[tokio::test]
async fn a_producer_that_names_one_filter_after_another_fills_no_storage() {
    let mut world = keeping(1).await;
    world.set("targets.shop", "keep_partial", "2");
    fill(&world.shop, 1).await;
    let role = world.cluster.role("").await;
    let grant = format!("SELECT pgdumpd.grant_producer('{}')", role.name);
    world.sql(&grant).await;
    let daemon = world.daemon().await;
    let operators = whole(&world, &daemon).await;
    let mut session = sqlx::PgConnection::connect(&world.queue.url_as(&role.name))
        .await
        .unwrap();
    let mut last = Vec::new();
    for number in 0..4 {
        let before = daemon.log().matches(APPLIED).count();
        let spec = serde_json::json!({ "exclude_table_data": [format!("nosuch{number}")] });
        let id: Uuid = sqlx::query_scalar(
            "INSERT INTO pgdumpd.backup_jobs (target, spec) VALUES ('shop', $1) RETURNING id",
        )
        .bind(spec)
        .fetch_one(&mut session)
        .await
        .unwrap();
        world.succeeded(id).await;
        applied(&daemon, before + 1).await;
        last.push(id);
    }
    assert_eq!(held(&world), sorted([operators, last[2], last[3]]));
}

#[tokio::test]
async fn an_older_backup_in_a_newer_ones_place_pushes_out_none() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    let mut taken = Vec::new();
    for table in ["a", "b", "c"] {
        let create = format!("CREATE TABLE {table} (id int)");
        world.shop.execute(&create).await;
        taken.push(world.back_up().await);
    }
    daemon.stop().await;
    let archive = |id: Uuid| {
        let backups = world.backups();
        let of = |path: &PathBuf| world.manifest(path).backup_id == id;
        backups.into_iter().find(of).unwrap()
    };
    put_in_place(&world, &archive(taken[0]), &archive(taken[2]));
    world.set("targets.shop", "keep_last", "2");
    let daemon = world.daemon().await;
    let fourth = whole(&world, &daemon).await;
    // Two good ones are kept: the second and the fourth. What lies in the third's place is left alone.
    assert_eq!(held(&world), sorted([taken[1], taken[2], fourth]));
    assert!(
        daemon
            .log()
            .contains("is not the backup that the queue recorded"),
        "{}",
        daemon.log()
    );
}

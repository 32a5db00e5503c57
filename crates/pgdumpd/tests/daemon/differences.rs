//! Daemons that mean different things by one target: found before either takes a backup of it.

use pgdumpd_client::JobStatus;
use pgdumpd_testkit::eventually;
use rustix::process::Signal;
use uuid::Uuid;

use crate::harness::copies::copying;
use crate::harness::{Daemon, SOON, World, quoted};
use crate::retention::APPLIED;

/// A public key of age.
const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// Waits until the job waits for the daemons to agree; says why.
async fn waits_for_agreement(world: &World, id: Uuid, setting: &str) -> JobStatus {
    let status = world
        .until(id, "the job waits for the daemons to agree", |status| {
            status.state.has_ended() || waits(status)
        })
        .await;
    assert!(waits(&status), "{status:#?}");
    let because = status.waits_because.as_deref().unwrap();
    assert!(because.contains(setting), "{because}");
    status
}

fn waits(status: &JobStatus) -> bool {
    let because = status.waits_because.as_deref().unwrap_or_default();
    because.starts_with("daemons differ about target \"shop\"")
}

/// Both logs have an ERROR of it, and `check` ends as it does where backups fail.
async fn everybody_hears(world: &World, daemons: &[&Daemon], setting: &str) {
    for daemon in daemons {
        eventually("the daemon logs the difference", SOON, async || {
            let log = daemon.log();
            let mut lines = log.lines();
            lines
                .any(|line| {
                    line.contains("ERROR")
                        && line.contains("differ about target")
                        && line.contains(setting)
                })
                .then_some(())
        })
        .await;
    }
    let said = world.say(&["check", "--json"]).code(6);
    let findings = said.json()["findings"].to_string();
    assert!(findings.contains("daemons_differ"), "{findings}");
}

/// Waits until as many daemons are alive and have found their server and their storage.
async fn acquainted(world: &World, daemons: i64) {
    eventually("the daemons know server and storage", SOON, async || {
        let known: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pgdumpd.workers
             WHERE target_settings -> 'shop' ?& ARRAY['server', 'storage'] AND last_seen_at > now() - lease",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        (known == daemons).then_some(())
    })
    .await;
}

#[tokio::test]
async fn daemons_that_mean_different_databases_take_no_backup_until_one_is_gone() {
    let mut world = World::new().await;
    let first = world.daemon().await;
    let other = world.cluster.database().await;
    let right = quoted(&world.shop.url());
    world.set("targets.shop", "url", quoted(&other.url()));
    let mut second = world.daemon().await;
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(world.enqueue().await);
    }
    for id in &jobs {
        waits_for_agreement(&world, *id, "database").await;
    }
    everybody_hears(&world, &[&first, &second], "database").await;
    assert_eq!(world.backups(), Vec::<std::path::PathBuf>::new());
    // Killed: it is gone once its lease is over.
    second.kill();
    for id in jobs {
        world.succeeded(id).await;
    }
    for backup in world.backups() {
        assert_eq!(world.manifest(&backup).database.name, world.shop.name());
    }
    world.set("targets.shop", "url", right);
    world.say(&["check"]).code(0);
    first.stop().await;
}

#[tokio::test]
async fn a_daemon_that_was_not_reloaded_stores_nothing_in_clear() {
    let mut world = World::new().await;
    let old = world.daemon().await;
    world.set("targets.shop", "encrypt_to", format!("[{}]", quoted(KEY)));
    let new = world.daemon().await;
    acquainted(&world, 2).await;
    let mut jobs = Vec::new();
    for _ in 0..8 {
        jobs.push(world.enqueue().await);
    }
    for id in &jobs {
        waits_for_agreement(&world, *id, "encrypt_to").await;
    }
    everybody_hears(&world, &[&old, &new], "encrypt_to").await;
    // The reload that was forgotten.
    old.signal(Signal::HUP);
    for id in jobs {
        world.succeeded(id).await;
    }
    let backups = world.backups();
    assert_eq!(backups.len(), 8);
    assert!(
        backups
            .iter()
            .all(|path| path.extension() == Some("age".as_ref())),
        "{backups:#?}"
    );
    for daemon in [&old, &new] {
        eventually("the daemon logs that they agree", SOON, async || {
            daemon
                .log()
                .contains("the daemons agree about the target again")
                .then_some(())
        })
        .await;
    }
    old.stop().await;
    new.stop().await;
}

#[tokio::test]
async fn a_storage_that_is_mounted_elsewhere_is_no_difference() {
    let mut world = World::new().await;
    world.make_storage(Uuid::new_v4());
    let first = world.daemon().await;
    let elsewhere = world.dir.path().join("elsewhere");
    std::os::unix::fs::symlink(world.storage(), &elsewhere).unwrap();
    world.set(
        "storages.local",
        "path",
        quoted(&elsewhere.display().to_string()),
    );
    let second = world.daemon().await;
    acquainted(&world, 2).await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    world.say(&["check"]).code(0);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_server_whose_address_is_written_in_another_way_is_no_difference() {
    let mut world = World::new().await;
    let first = world.daemon().await;
    let role = world.cluster.role("SUPERUSER").await;
    let url = quoted(&world.shop.tcp_url(&role));
    world.set("targets.shop", "url", url);
    let second = world.daemon().await;
    acquainted(&world, 2).await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let settings: String =
        sqlx::query_scalar("SELECT string_agg(target_settings::text, '') FROM pgdumpd.workers")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!(
        !settings.contains(&role.name) && !settings.contains(&role.password),
        "{settings}"
    );
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_target_that_leads_to_another_database_says_so_and_is_backed_up() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    world.say(&["check"]).code(0);
    assert!(!daemon.log().contains("the last backup is of"));
    let other = world.cluster.database().await;
    world.set("targets.shop", "url", quoted(&other.url()));
    let changed = format!(
        "the last backup is of database \"{}\", and the target leads to database \"{}\" now",
        world.shop.name(),
        other.name()
    );
    let said = world.say(&["check"]).code(0);
    assert!(said.out.contains(&changed), "{}", said.out);
    daemon.signal(Signal::HUP);
    eventually("the daemon's own check finds it", SOON, async || {
        daemon.log().contains(&changed).then_some(())
    })
    .await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    // From now on this is what the target is.
    let said = world.say(&["check", "--json"]).code(0);
    let findings = said.json()["findings"].to_string();
    assert!(!findings.contains("database_changed"), "{findings}");
    daemon.stop().await;
}

#[tokio::test]
async fn daemons_that_differ_delete_no_backup() {
    let mut world = copying(&[]).await;
    world.add_storage("offsite");
    let first = world.daemon().await;
    let (older, newer) = (world.back_up().await, world.back_up().await);
    first.stop().await;
    world.set("targets.shop", "keep_last", "1");
    let first = world.daemon().await;
    let copied = async |world: &World, id: Uuid| {
        world
            .say(&["copy", &id.to_string(), "--to", "offsite"])
            .code(0);
        world.held_by(id, "2 of 2").await;
    };
    copied(&world, older).await;
    eventually(
        "the rules are applied while it is alone",
        SOON,
        async || first.log().contains(APPLIED).then_some(()),
    )
    .await;
    world.set("targets.shop", "keep_last", "30");
    world.set("daemon", "max_copies", "0");
    let mut second = world.daemon().await;
    acquainted(&world, 2).await;
    // Backups wait, copies do not.
    copied(&world, newer).await;
    eventually("the first daemon leaves them", SOON, async || {
        let log = first.log() + &second.log();
        let mut lines = log.lines();
        lines
            .any(|line| line.contains("older backups stay for now") && line.contains("keep_last"))
            .then_some(())
    })
    .await;
    assert_eq!(World::backups_in(&world.place("offsite")).len(), 2);
    second.kill();
    eventually("the first one's rule holds alone", SOON, async || {
        let left = World::files_in(&world.place("offsite"));
        left.iter()
            .all(|file| file.contains(&newer.to_string()))
            .then_some(())
    })
    .await;
    first.stop().await;
}

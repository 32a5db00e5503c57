//! Which events there are, and that three daemons tell each once.

use rustix::process::Signal;
use serde_json::Value;

use super::inbox::{Inbox, fail, set_receiver, settled};
use crate::harness::copies::copying;
use crate::harness::{World, quoted};

#[tokio::test]
async fn three_daemons_tell_each_event_once() {
    let inbox = Inbox::new().await;
    let mut world = copying(&["second"]).await;
    world.set("daemon", "max_copies", "0");
    set_receiver(&mut world, "ops", &inbox.url(), "json");
    let daemons = [
        world.daemon().await,
        world.daemon().await,
        world.daemon().await,
    ];

    fail(&world).await;
    inbox.wait_for(1).await;
    let good = world.back_up().await;
    inbox.wait_for(2).await;
    // Nothing was wrong before it.
    let other = world.back_up().await;
    settled(&world).await;
    assert_eq!(inbox.events(), ["failed", "recovered"]);

    // The last good backup gets too old, which all three find.
    world.set("targets.shop", "alert_after", quoted("1s"));
    for daemon in &daemons {
        daemon.signal(Signal::HUP);
    }
    let overdue = inbox.wait_for(3).await.remove(2);
    assert_eq!(overdue.event(), "overdue");
    assert_eq!(overdue.json()["details"]["alert_after_seconds"], 1);
    world.set("targets.shop", "alert_after", quoted("1h"));
    for daemon in &daemons {
        daemon.signal(Signal::HUP);
    }
    world.back_up().await;
    inbox.wait_for(4).await;

    // What is stored changes, which a copy and then a person find.
    for archive in world.backups() {
        let mut bytes = std::fs::read(&archive).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&archive, bytes).unwrap();
    }
    world.set("daemon", "max_copies", "1");
    let copier = world.daemon().await;
    let copy = world.copy(good).await;
    world.failed(copy).await;
    world.failed(world.copy(other).await).await;
    for _ in 0..2 {
        world.say(&["verify", &good.to_string()]).code(6);
    }
    copier.stop().await;
    settled(&world).await;

    // All of them check themselves, and find the same.
    let (storage, aside) = (world.storage(), world.dir.path().join("aside"));
    std::fs::rename(&storage, &aside).unwrap();
    std::fs::write(&storage, "").unwrap();
    for daemon in &daemons {
        daemon.signal(Signal::HUP);
    }
    eventually_event(&inbox, "check_failed").await;
    for daemon in daemons {
        daemon.stop().await;
    }
    settled(&world).await;

    let mut events = inbox.events();
    assert_eq!(events[..4], ["failed", "recovered", "overdue", "recovered"]);
    events.sort();
    let count = |event: &str| events.iter().filter(|sent| *sent == event).count();
    // Three backups are damaged, each in one storage.
    assert_eq!(count("damaged"), 3, "{events:?}");
    assert_eq!(count("copy_failed"), 3, "{events:?}");
    assert_eq!(count("check_failed"), 1, "{events:?}");
    let mut ids: Vec<String> = inbox
        .posted()
        .iter()
        .map(|posted| posted.headers["webhook-id"].clone())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), inbox.posted().len(), "{events:?}");
}

async fn eventually_event(inbox: &Inbox, event: &str) {
    pgdumpd_testkit::eventually(event, crate::harness::SOON, async || {
        inbox
            .events()
            .iter()
            .any(|sent| sent == event)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receiver_is_told_what_it_wants_to_know_and_a_target_without_any_backup_is_overdue() {
    let (all, few, own) = (Inbox::new().await, Inbox::new().await, Inbox::new().await);
    let mut world = World::new().await;
    let shop = quoted(&world.shop.url());
    world.set("targets.never", "url", shop);
    world.set("targets.never", "alert_after", quoted("1s"));
    set_receiver(&mut world, "all", &all.url(), "json");
    world.set(
        "notify.all",
        "events",
        r#"["started", "succeeded", "failed", "overdue"]"#,
    );
    set_receiver(&mut world, "few", &few.url(), "json");
    world.set("notify.few", "events", r#"["failed"]"#);
    set_receiver(&mut world, "own", &own.url(), "json");
    world.set("notify.own", "targets", r#"["never"]"#);
    let _daemon = world.daemon().await;
    world.back_up().await;
    fail(&world).await;
    let overdue = own.wait_for(1).await.remove(0);
    assert_eq!(overdue.json()["title"], "never has never had a good backup");
    assert_eq!(overdue.json()["details"]["last_success_at"], Value::Null);
    settled(&world).await;
    let jobs: Vec<String> = all
        .events()
        .into_iter()
        .filter(|event| event != "overdue")
        .collect();
    assert_eq!(jobs, ["started", "succeeded", "started", "failed"]);
    assert_eq!(few.events(), ["failed"]);
    assert_eq!(own.events(), ["overdue"]);
    let succeeded = all
        .posted()
        .iter()
        .find(|posted| posted.event() == "succeeded")
        .unwrap()
        .json();
    let details = &succeeded["details"];
    assert!(
        details["size_bytes"].as_u64().unwrap() > 100 && details["seconds"].is_number(),
        "{succeeded}"
    );
    assert!(details["warnings"].is_number(), "{succeeded}");
}

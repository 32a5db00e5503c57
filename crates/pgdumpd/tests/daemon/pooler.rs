//! A PgBouncer before the queue, where it is supported, and before a target, where it is not.

use std::time::Duration;

use pgdumpd_client::{BackupRequest, JobStatus};
use pgdumpd_testkit::{Pooler, eventually, fill};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use crate::harness::{SOON, World, quoted};

/// What an operator must set to let PgBouncer ignore what it does not know.
const IGNORED: (&str, &str) = ("ignore_startup_parameters", "extra_float_digits,options");

/// No command may take longer: a person waits for it.
const AT_ONCE: Duration = Duration::from_secs(30);

/// A target through a pooler: the job fails for good and says what is in the way.
async fn fails(world: &World, target: &str) -> JobStatus {
    let id = world.enqueue_request(BackupRequest::new(target)).await;
    let failed = tokio::time::timeout(AT_ONCE, world.failed(id))
        .await
        .unwrap();
    assert_eq!(
        failed.error_code.as_deref(),
        Some("pooler_in_front"),
        "{failed:#?}"
    );
    assert_eq!(failed.attempt, 1, "{failed:#?}");
    let hint = failed.error_hint.as_deref().unwrap();
    assert!(
        hint.contains("Give the target a direct connection"),
        "{hint}"
    );
    failed
}

#[tokio::test]
async fn a_target_through_a_pooler_is_told_from_one_that_is_away() {
    let mut world = World::new().await;
    fill(&world.shop, 1).await;
    let mut poolers = Vec::new();
    let small = ("default_pool_size", "1");
    for (name, mode, settings) in [
        ("strict", "transaction", &[][..]),
        ("transaction", "transaction", &[IGNORED][..]),
        ("one", "transaction", &[IGNORED, small][..]),
        ("statement", "statement", &[IGNORED][..]),
    ] {
        let Some(pooler) = Pooler::start(world.cluster, mode, settings).await else {
            return;
        };
        let url = quoted(&pooler.url(&world.shop));
        world.set(&format!("targets.{name}"), "url", url);
        poolers.push((name, pooler));
    }
    let _daemon = world.daemon().await;
    for (name, _) in &poolers {
        fails(&world, name).await;
    }
    let said = world.say(&["check", "--json"]).code(6).json();
    for (name, pooler) in &poolers {
        let subject = format!("target {name}");
        let found = said["findings"].as_array().unwrap().iter();
        let mut found = found.filter(|found| found["subject"] == *subject);
        let named = found.any(|found| found["code"] == "pooler_in_front");
        assert!(named, "{name}: {said:#} {}", pooler.log());
    }
}

/// In this mode each client has a server's session of its own.
#[tokio::test]
async fn a_target_through_a_pooler_of_sessions_is_backed_up() {
    let mut world = World::new().await;
    fill(&world.shop, 1).await;
    let Some(pooler) = Pooler::start(world.cluster, "session", &[IGNORED]).await else {
        return;
    };
    world.set("targets.shop", "url", quoted(&pooler.url(&world.shop)));
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    assert_eq!(world.backups().len(), 1);
}

/// A world whose queue is reached through a pooler as it is after its installation.
async fn queue_through(mode: &str, settings: &[(&str, &str)]) -> Option<(World, Pooler)> {
    let mut world = World::new().await;
    fill(&world.shop, 1).await;
    let pooler = Pooler::start(world.cluster, mode, settings).await?;
    world.set("queue", "url", quoted(&pooler.url(&world.queue)));
    Some((world, pooler))
}

#[tokio::test]
async fn a_queue_through_a_pooler_of_transactions_serves_daemon_and_commands() {
    let two = ("default_pool_size", "2");
    let Some((mut world, pooler)) = queue_through("transaction", &[two]).await else {
        return;
    };
    world.set("queue", "pooled", "true");
    let daemon = world.daemon().await;
    let said = world.say(&["enqueue", "shop", "--wait"]);
    assert_eq!(
        said.code,
        Some(0),
        "{}{} {}",
        said.out,
        said.err,
        pooler.log()
    );
    for command in [
        &["status"][..],
        &["list"],
        &["check"],
        &["show", "--target", "shop", "--latest"],
    ] {
        let said = world.say(command);
        assert_eq!(said.code, Some(0), "{command:?}: {}{}", said.out, said.err);
    }
    assert_eq!(world.backups().len(), 1);
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_queue_through_a_pooler_that_nobody_configured_says_what_to_set() {
    for mode in ["transaction", "session"] {
        let Some((world, _pooler)) = queue_through(mode, &[]).await else {
            return;
        };
        for command in ["status", "check"] {
            let said = world.say(&[command]);
            assert_ne!(said.code, Some(0), "{}{}", said.out, said.err);
            let text = format!("{}{}", said.out, said.err);
            assert!(
                text.contains("set queue.pooled = true"),
                "{mode} {command}: {text}"
            );
        }
        let daemon = world.daemon_unready();
        eventually("the daemon says it", SOON, async || {
            daemon
                .log()
                .contains("set queue.pooled = true")
                .then_some(())
        })
        .await;
    }
}

/// Others of the same pooler, who share its one session with the server and prepare their own statements in it.
async fn neighbour(url: String) {
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.statement_cache_capacity(0).extra_float_digits(None);
    let mut connection = options.connect().await.unwrap();
    loop {
        let asked = sqlx::query("SELECT $1::int4").bind(1).persistent(false);
        let answer = asked.execute(&mut connection).await;
        if answer.is_err() {
            connection = options.connect().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_through_a_busy_pooler_runs_its_own_statement() {
    let one = ("default_pool_size", "1");
    let Some((mut world, pooler)) = queue_through("transaction", &[one]).await else {
        return;
    };
    world.set("queue", "pooled", "true");
    let mut neighbours = JoinSet::new();
    for _ in 0..4 {
        neighbours.spawn(neighbour(pooler.url(&world.queue)));
    }
    for number in 0..5 {
        let said = world.say(&["enqueue", "shop", "--json"]).code(0);
        let id = said.json()["id"].as_str().unwrap().to_owned();
        let said = world.say(&["status", &id, "--json"]).code(0);
        assert_eq!(said.json()["id"], id);
        let said = world.say(&["list", "--json"]).code(0);
        assert_eq!(said.json().as_array().unwrap().len(), number + 1);
        let said = world.say(&["cancel", &id, "--json"]).code(0);
        assert_eq!(said.json()["outcome"], "cancelled");
        world.say(&["watch", &id]).code(5);
    }
}

//! `pgdumpd check`: what would fail tonight is found tonight, with a hint and exit code 6.

use pgdumpd::migrate::{Grants, migrate};
use pgdumpd_client::BackupRequest;
use pgdumpd_testkit::{Role, cluster_of, eventually, fill};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{SOON, Said, World, quoted};

/// The errors of a check as (subject, code), after seeing that it ended with 6 and that each has advice.
#[track_caller]
fn errors(said: Said) -> Vec<(String, String)> {
    let report = said.code(6).json();
    let findings = report["findings"].as_array().unwrap();
    let errors: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .collect();
    errors
        .into_iter()
        .map(|error| {
            assert!(error["hint"].is_string(), "{error}");
            let word = |key: &str| error[key].as_str().unwrap().to_owned();
            (word("subject"), word("code"))
        })
        .collect()
}

/// Asserts that a check finds exactly these errors besides that no daemon is alive.
#[track_caller]
fn finds(world: &World, expected: &[(&str, &str)]) {
    let mut found = errors(world.say(&["check", "--json"]));
    found.retain(|(_, code)| code != "no_daemon");
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(subject, code)| (subject.as_str(), code.as_str()))
        .collect();
    assert_eq!(found, expected);
}

/// Waits until the world's one daemon has stored what it found.
async fn has_checked(world: &World) {
    eventually("the daemon has stored its checks", SOON, async || {
        let stored: i64 = sqlx::query_scalar("SELECT count(checks) FROM pgdumpd.workers")
            .fetch_one(&world.pool)
            .await
            .unwrap();
        (stored == 1).then_some(())
    })
    .await;
}

/// The role with a wrong password.
fn mistaken(role: &Role) -> Role {
    Role {
        name: role.name.clone(),
        password: "wrong".to_owned(),
    }
}

#[tokio::test]
async fn a_check_of_what_works_ends_with_0_and_shows_what_the_daemon_found_itself() {
    let world = World::new().await;
    let said = world.say(&["check"]).code(6);
    assert!(
        said.out.contains("ERROR    queue: no daemon is alive"),
        "{}",
        said.out
    );
    let daemon = world.daemon().await;
    has_checked(&world).await;
    let said = world.say(&["check"]).code(0);
    let pid = daemon.pid().as_raw_nonzero().to_string();
    assert!(
        said.out.contains(&format!("(pid {pid}) found it:")),
        "{}",
        said.out
    );
    assert!(!said.out.contains("ERROR"), "{}", said.out);
    let report = world.say(&["check", "--json"]).code(0).json();
    let by_daemon = report["daemons"][0]["findings"].as_array().unwrap();
    for subject in ["queue", "target shop", "storage local"] {
        assert!(
            by_daemon
                .iter()
                .any(|finding| finding["subject"] == subject),
            "{subject}: {report}"
        );
    }
}

#[tokio::test]
async fn what_only_the_daemon_cannot_do_ends_the_check_with_6_too() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    has_checked(&world).await;
    // As a sandbox would have it.
    let checks = r#"{"findings": [{"subject": "storage local", "severity": "error", "code": "storage_readonly",
        "what": "the file system is read-only", "hint": "Add ReadWritePaths."}]}"#;
    sqlx::query("UPDATE pgdumpd.workers SET checks = $1::text::jsonb")
        .bind(checks)
        .execute(&world.pool)
        .await
        .unwrap();
    let said = world.say(&["check"]).code(6);
    assert!(
        said.out
            .contains("ERROR    storage local: the file system is read-only"),
        "{}",
        said.out
    );
    assert!(said.out.contains("hint: Add ReadWritePaths."));
}

#[tokio::test]
async fn a_check_finds_what_is_wrong_with_the_queue() {
    let mut world = World::new().await;
    world.make_storage(Uuid::new_v4());
    let right = quoted(&world.queue.url());
    // Nothing there, and nothing made there by looking.
    let fresh = world.cluster.database().await;
    world.set("queue", "url", quoted(&fresh.url()));
    finds(&world, &[("queue", "queue_not_migrated")]);
    finds(&world, &[("queue", "queue_not_migrated")]);
    world.set("queue", "url", quoted("postgres://u@127.0.0.1:1/queue"));
    finds(&world, &[("queue", "queue_failed")]);
    let role = world.cluster.role("").await;
    let wrong = world.queue.tcp_url(&mistaken(&role));
    world.set("queue", "url", quoted(&wrong));
    finds(&world, &[("queue", "queue_failed")]);
    world.set("queue", "url", right);
    world.set("queue", "queue_id", quoted(&Uuid::new_v4().to_string()));
    finds(&world, &[("queue", "queue_wrong_id")]);
}

#[tokio::test]
async fn a_check_that_cannot_compare_targets_says_so() {
    let world = World::new().await;
    world.make_storage(Uuid::new_v4());
    finds(&world, &[]);
    world
        .queue
        .execute("ALTER VIEW pgdumpd.target_differences RENAME TO not_to_be_found")
        .await;
    let said = world.say(&["check"]).code(6);
    assert!(
        said.out.contains("target_differences\" does not exist"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn a_check_without_any_configuration_does_not_migrate() {
    let world = World::new().await;
    let fresh = world.cluster.database().await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pgdumpd"))
        .args(["check", "--json"])
        .env("DATABASE_URL", fresh.url())
        .env("PGDUMPD_STORAGE", world.dir.path().join("other"))
        .output()
        .unwrap();
    let found = errors(output.into());
    assert_eq!(found[0].1, "queue_not_migrated");
    let schemas: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgdumpd'")
            .fetch_one(&fresh.pool().await)
            .await
            .unwrap();
    assert_eq!(schemas, 0);
}

#[tokio::test]
async fn a_check_finds_what_is_wrong_with_a_target() {
    let mut world = World::new().await;
    world.make_storage(Uuid::new_v4());
    let right = world.shop.url();
    world.set(
        "targets.shop",
        "url",
        quoted("postgres://u@127.0.0.1:1/shop"),
    );
    finds(&world, &[("target shop", "target_unreachable")]);
    world.set("targets.shop", "url", quoted(&format!("{right}_gone")));
    finds(&world, &[("target shop", "database_missing")]);
    let role = world.cluster.role("").await;
    let wrong = world.shop.tcp_url(&mistaken(&role));
    world.set("targets.shop", "url", quoted(&wrong));
    finds(&world, &[("target shop", "authentication_failed")]);

    world.set(
        "targets.shop",
        "url",
        quoted(&world.shop.url_as(&role.name)),
    );
    world.shop.execute("CREATE TABLE secret (a int)").await;
    finds(&world, &[("target shop", "permission_denied")]);
    let name = &role.name;
    world
        .shop
        .execute(&format!("GRANT SELECT ON secret TO {name}"))
        .await;
    world
        .shop
        .execute("ALTER TABLE secret ENABLE ROW LEVEL SECURITY")
        .await;
    finds(&world, &[("target shop", "row_security")]);
    world
        .shop
        .execute("ALTER TABLE secret DISABLE ROW LEVEL SECURITY; SELECT lo_create(0)")
        .await;
    finds(&world, &[("target shop", "permission_denied")]);
    let said = world.say(&["check"]).code(6);
    assert!(
        said.out.contains("large objects of postgres"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn a_check_finds_that_no_pg_dump_fits_the_server() {
    let Some(newest) = cluster_of(18).await else {
        return;
    };
    let mut world = World::new().await;
    world.set("pg_dump", "directories", "[]");
    let database = newest.database().await;
    world.set("targets.shop", "url", quoted(&database.url()));
    let found = errors(world.say(&["check", "--json"]));
    let found = found.iter().find(|(subject, _)| subject == "target shop");
    if std::path::Path::new("/usr/lib/postgresql/18/bin/pg_dump").exists() {
        return;
    }
    let code = &found.unwrap().1;
    assert!(
        code == "pg_dump_too_old" || code == "pg_dump_missing",
        "{code}"
    );
}

#[tokio::test]
async fn a_check_finds_what_is_wrong_with_a_storage() {
    let mut world = World::new().await;
    world.make_storage(Uuid::new_v4());
    world.set("storages.local", "min_free", quoted("1000TiB"));
    finds(&world, &[("storage local", "storage_full")]);
    world.set("storages.local", "min_free", quoted("1MiB"));
    // A file where the directory should be: not even root can write into it.
    let file = world.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    world.set("storages.local", "path", quoted(file.to_str().unwrap()));
    let found = errors(world.say(&["check", "--json"]));
    assert!(
        found.iter().any(|(subject, _)| subject == "storage local"),
        "{found:?}"
    );
    // A directory with somebody else's files in it.
    let foreign = world.dir.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("letter.txt"), "mine").unwrap();
    world.set("storages.local", "path", quoted(foreign.to_str().unwrap()));
    finds(&world, &[("storage local", "storage_foreign")]);
}

#[tokio::test]
async fn a_check_warns_before_a_role_has_all_the_backups_that_it_may_keep() {
    let world = World::new().await;
    let role = world.cluster.role("").await.name;
    let grants = Grants {
        producers: vec![role.clone()],
        ..Grants::default()
    };
    migrate(&world.pool, &grants).await.unwrap();
    world
        .sql(&format!(
            "INSERT INTO pgdumpd.quotas (requested_by, queued_jobs, kept_backups) VALUES ('{role}', NULL, 2)"
        ))
        .await;
    let _daemon = world.daemon().await;
    let producer = PgPool::connect(&world.queue.url_as(&role)).await.unwrap();
    // Each request has a key of its own, with which it may be repeated.
    let ask = async || pgdumpd_client::enqueue(&producer, &BackupRequest::new("shop")).await;
    let mut last = None;
    for (kept, warned) in [(1, false), (2, true)] {
        let job = ask().await.unwrap().id;
        world.succeeded(job).await;
        last = Some(job);
        let said = world.say(&["check"]).code(0);
        let warning = format!("role \"{role}\" has {kept} of the 2 backups that it may keep");
        assert_eq!(said.out.contains(&warning), warned, "{}", said.out);
    }
    let refused = ask().await.unwrap_err().to_string();
    assert!(refused.contains("may keep 2 backups"), "{refused}");
    world
        .say(&["delete", &last.unwrap().to_string(), "--yes"])
        .code(0);
    let said = world.say(&["check"]).code(0);
    assert!(!said.out.contains("may keep"), "{}", said.out);
}

#[tokio::test]
async fn a_storage_without_room_for_another_backup_is_a_warning() {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    let daemon = world.daemon().await;
    let id = world.back_up().await;
    daemon.stop().await;
    let said = world.say(&["check", "--problems"]);
    assert!(!said.out.contains("no room for another"), "{}", said.out);
    // As if it had been a petabyte: an ended job does not change by any other way.
    world
        .queue
        .execute(&format!(
            "SET session_replication_role = replica;
             UPDATE pgdumpd.backup_jobs SET size_bytes = 1125899906842624 WHERE id = '{id}'"
        ))
        .await;
    let said = world.say(&["check", "--problems"]);
    assert!(
        said.out.contains("target shop: storage \"local\" has no room for another backup as large as the last one, 1.00 PiB"),
        "{}",
        said.out
    );
}

//! Roles and tablespaces beside an archive.

use crate::harness::{World, quoted};
use pgdumpd_testkit::{FakePgDump, Then};

#[tokio::test]
async fn roles_are_stored_beside_the_archive_and_brought_back_without_passwords() {
    let mut world = World::new().await;
    world.set("targets.shop", "globals", quoted("without-passwords"));
    let role = world.cluster.role("CONNECTION LIMIT 7").await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    daemon.stop().await;

    let manifest = world.manifest(&world.backups()[0]);
    let globals = manifest.globals.unwrap();
    assert!(!globals.passwords);
    let stored = std::fs::read_to_string(world.storage().join(&globals.key)).unwrap();
    assert_eq!(globals.size_bytes, stored.len() as u64);
    assert!(!stored.contains("PASSWORD"), "{stored}");

    let file = world.dir.path().join("roles.sql").display().to_string();
    let id = id.to_string();
    world.say(&["fetch", &id, "--globals", "-o", &file]).code(0);
    let fetched = std::fs::read_to_string(&file).unwrap();
    assert_eq!(fetched, stored);
    // What is told of this role makes it anew. (The others belong to tests that run now.)
    let own: Vec<&str> = fetched
        .lines()
        .filter(|line| line.contains(&role.name))
        .collect();
    world
        .shop
        .execute(&format!("DROP ROLE {}", role.name))
        .await;
    world.shop.execute(&own.join("\n")).await;
    let mut connection = world.shop.connect().await;
    let limit: i32 = sqlx::query_scalar("SELECT rolconnlimit FROM pg_roles WHERE rolname = $1")
        .bind(&role.name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(limit, 7);

    let shown = world.say(&["show", &id]).code(0);
    assert!(shown.out.contains("without passwords"), "{}", shown.out);
    let said = world.say(&["verify", &id]).code(0);
    assert!(said.out.contains("roles and tablespaces are good"));
    let path = world.storage().join(&globals.key);
    std::fs::write(&path, stored.replace("LOGIN", "NOLOG")).unwrap();
    let said = world.say(&["verify", &id]).code(6);
    assert!(
        said.out.contains("is not what its manifest says"),
        "{}",
        said.out
    );
    let said = world.say(&["verify", &id, "--json"]).code(6).json();
    assert_eq!(said["globals_good"], false);
    std::fs::remove_file(&path).unwrap();
    let said = world.say(&["verify", &id]).code(6);
    assert!(said.out.contains("cannot be found"), "{}", said.out);
    std::fs::write(&path, stored).unwrap();
    world.say(&["delete", &id, "--yes"]).code(0);
    world.assert_clean(0).await;
}

#[tokio::test]
async fn passwords_are_stored_only_where_they_are_asked_for() {
    let mut world = World::new().await;
    world.set("targets.shop", "globals", quoted("with-passwords"));
    let role = world.cluster.role("").await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let manifest = world.manifest(&world.backups()[0]);
    let globals = manifest.globals.unwrap();
    assert!(globals.passwords);
    let stored = std::fs::read_to_string(world.storage().join(&globals.key)).unwrap();
    let altered = format!("ALTER ROLE {} ", role.name);
    let line = stored.lines().find(|line| line.starts_with(&altered));
    assert!(line.is_some_and(|line| line.contains("PASSWORD 'SCRAM-SHA-256$")));
}

#[tokio::test]
async fn globals_that_cannot_be_dumped_fail_the_backup_before_it_locks_a_table() {
    let mut world = World::new().await;
    let role = world.cluster.role("").await;
    world.set("targets.shop", "globals", quoted("with-passwords"));
    world.set("targets.shop", "url", quoted(&world.shop.tcp_url(&role)));
    let said = world.say(&["check"]).code(6);
    assert!(said.out.contains("may not read passwords"), "{}", said.out);
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.failed(id).await;
    assert_eq!(status.error_code.as_deref(), Some("permission_denied"));
    let error = status.error.unwrap();
    assert!(error.contains("pg_dumpall ended with"), "{error}");
    assert!(!daemon.log().contains("pg_dump started"));
    world.assert_clean(0).await;
}

#[tokio::test]
async fn a_pg_dump_without_its_pg_dumpall_is_reported() {
    let mut world = World::new().await;
    let fake = FakePgDump::new(world.cluster.major(), &world.archive(), Then::Exit(0));
    world.use_fake(&fake);
    world.set("targets.shop", "globals", quoted("without-passwords"));
    let said = world.say(&["check"]).code(6);
    assert!(said.out.contains("pg_dumpall is missing"), "{}", said.out);
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.failed(id).await;
    assert_eq!(status.error_code.as_deref(), Some("pg_dumpall_missing"));
    world.assert_clean(0).await;
}

#[tokio::test]
async fn a_backup_without_globals_says_so() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let said = world.say(&["fetch", &id.to_string(), "--globals"]).code(3);
    assert!(said.err.contains("without-passwords"), "{}", said.err);
}

//! Migrating: whole, once, and the same by script.

use std::process::Command;

use pgdumpd::config::QueueConfig;
use pgdumpd::migrate::{Grants, MIGRATIONS, MigrateError, VERSION, migrate, print};
use pgdumpd::queue::{Queue, QueueError};
use pgdumpd_testkit::{Database, cluster};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::fixture::config;

/// The schema with owners and rights, as pg_dump tells it.
async fn schema(db: &Database) -> String {
    let program = cluster().await.bin("pg_dump");
    let output = Command::new(program)
        .args(["--schema-only", &db.url()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    // From 15.14 on, a dump carries a random key.
    text.lines()
        .filter(|line| !line.contains("restrict "))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn history(db: &Database) -> Vec<(i64, String, String)> {
    sqlx::query_as("SELECT version, name, checksum FROM pgdumpd.schema_migrations ORDER BY version")
        .fetch_all(&db.pool().await)
        .await
        .unwrap()
}

async fn grants() -> Grants {
    let cluster = cluster().await;
    Grants {
        revoked: Vec::new(),
        producers: vec![cluster.role("").await.name, cluster.role("").await.name],
        readers: vec![cluster.role("").await.name],
        operators: vec![cluster.role("").await.name],
        daemons: vec![cluster.role("").await.name, cluster.role("").await.name],
    }
}

#[tokio::test]
async fn migrating_twice_changes_nothing_the_second_time() {
    let db = cluster().await.database().await;
    let (pool, grants) = (db.pool().await, grants().await);
    let first = migrate(&pool, &grants).await.unwrap();
    assert_eq!(
        first.versions,
        MIGRATIONS.iter().map(|m| m.version).collect::<Vec<_>>()
    );
    let before = schema(&db).await;
    assert!(before.contains("CREATE TABLE pgdumpd.backup_jobs"));
    let second = migrate(&pool, &grants).await.unwrap();
    assert_eq!((second.versions, second.version), (vec![], VERSION));
    assert_eq!(schema(&db).await, before);
}

#[tokio::test]
async fn what_print_shows_makes_the_same_queue_by_psql() {
    let cluster = cluster().await;
    let (ours, theirs) = (cluster.database().await, cluster.database().await);
    let grants = grants().await;
    migrate(&ours.pool().await, &grants).await.unwrap();
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), print(&grants, None)).unwrap();
    let psql = || {
        Command::new(cluster.bin("psql"))
            .args([
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &theirs.url(),
                "-f",
            ])
            .arg(script.path())
            .output()
            .unwrap()
    };
    let output = psql();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let by_psql = schema(&theirs).await;
    assert_eq!(by_psql, schema(&ours).await);
    assert_eq!(history(&theirs).await, history(&ours).await);
    assert_eq!(
        migrate(&theirs.pool().await, &grants)
            .await
            .unwrap()
            .versions,
        [0_i64; 0]
    );
    assert!(!psql().status.success(), "a second run is refused");
    assert_eq!(schema(&theirs).await, by_psql, "and changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_at_once_applies_each_migration_once() {
    let db = cluster().await.database().await;
    let runs = (0..4).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { migrate(&db.pool().await, &Grants::default()).await.unwrap() })
    });
    let mut applied = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        applied.extend(run.await.unwrap().versions);
    }
    applied.sort_unstable();
    assert_eq!(
        applied,
        MIGRATIONS.iter().map(|m| m.version).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_migration_waits_for_whoever_holds_the_lock() {
    let db = cluster().await.database().await;
    let mut other = db.connect().await;
    let mut transaction = other.begin().await.unwrap();
    // The lock of another migrator, held for longer than one try.
    let lock = print(&Grants::default(), None);
    let lock = lock
        .lines()
        .find(|line| line.contains("pg_advisory_xact_lock"))
        .unwrap()
        .to_owned();
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut *transaction)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { migrate(&db.pool().await, &Grants::default()).await }
    });
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    let pool = db.pool().await;
    pgdumpd_testkit::eventually(
        "the migrator waits",
        std::time::Duration::from_secs(20),
        async || {
            let count: i64 = sqlx::query_scalar(blocked).fetch_one(&pool).await.unwrap();
            (count > 0).then_some(())
        },
    )
    .await;
    transaction.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().version, VERSION);
}

#[tokio::test]
async fn whoever_holds_the_lock_of_migrations_all_the_time_is_named() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let stranger = cluster.role("").await;
    let mut other = PgConnection::connect(&db.url_as(&stranger.name))
        .await
        .unwrap();
    let mut transaction = other.begin().await.unwrap();
    let process: i32 = sqlx::query_scalar(
        "SELECT pg_backend_pid() FROM pg_advisory_xact_lock(2015450147409832101)",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    let error = migrate(&db.pool().await, &Grants::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "another session holds the lock of pgdumpd's migrations: process {process}, role \"{}\"",
            stranger.name
        )
    );
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn a_queue_is_updated_by_psql_from_the_version_that_it_has_and_no_other() {
    let cluster = cluster().await;
    let (ours, theirs) = (cluster.database().await, cluster.database().await);
    migrate(&ours.pool().await, &Grants::default())
        .await
        .unwrap();
    let run = async |script: String| {
        let result = sqlx::raw_sql(sqlx::AssertSqlSafe(script))
            .execute(&mut theirs.connect().await)
            .await;
        result.map(drop).map_err(|error| error.to_string())
    };
    // As an older build made it: each migration up to the ninth.
    let whole = print(&Grants::default(), None);
    let end = whole.find("-- Migration 10:").unwrap();
    run(format!("{}\nCOMMIT;", &whole[..end])).await.unwrap();
    let wrong = run(print(&Grants::default(), Some(8))).await.unwrap_err();
    assert!(
        wrong.contains("the queue is at version 9, not 8"),
        "{wrong}"
    );
    run(print(&Grants::default(), Some(9))).await.unwrap();
    assert_eq!(schema(&theirs).await, schema(&ours).await);
    assert_eq!(history(&theirs).await, history(&ours).await);
    let again = run(print(&Grants::default(), Some(9))).await.unwrap_err();
    assert!(again.contains("is at version"), "{again}");
}

#[tokio::test]
async fn a_changed_or_newer_history_is_refused_and_named() {
    let db = cluster().await.database().await;
    let pool = db.pool().await;
    migrate(&pool, &Grants::default()).await.unwrap();
    db.execute("UPDATE pgdumpd.schema_migrations SET checksum = 'x' WHERE version = 2")
        .await;
    let error = migrate(&pool, &Grants::default()).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Changed { version: 2, .. }),
        "{error}"
    );
    assert!(error.hint().is_some());
    db.execute("INSERT INTO pgdumpd.schema_migrations VALUES (99, 'later', 'x')")
        .await;
    let error = migrate(&pool, &Grants::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the queue's schema has version 99, this pgdumpd knows versions up to {VERSION}")
    );
    // Expand, then contract: a daemon of this version goes on with that schema, whatever it would migrate itself.
    Queue::connect(&config(&db.url())).await.unwrap();
    let migrating = QueueConfig {
        migrate_at_start: true,
        ..config(&db.url())
    };
    Queue::connect(&migrating).await.unwrap();
}

#[tokio::test]
async fn a_role_that_does_not_exist_is_named_with_the_command_that_makes_it() {
    let db = cluster().await.database().await;
    let grants = Grants {
        producers: vec![r#"no'bo"dy\"#.into()],
        ..Grants::default()
    };
    let error = migrate(&db.pool().await, &grants).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"role "no'bo"dy\" could not be granted its rights"#
    );
    assert_eq!(
        error.hint().unwrap(),
        r#"Create the role first: CREATE ROLE "no'bo""dy\" LOGIN."#
    );
}

#[tokio::test]
async fn an_unmigrated_queue_and_a_wrong_one_are_refused() {
    let db = cluster().await.database().await;
    let mut config = config(&db.url());
    let error = Queue::connect(&config).await.unwrap_err();
    assert!(
        matches!(
            error,
            QueueError::NotMigrated {
                wanted: VERSION,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("pgdumpd migrate"));
    config.migrate_at_start = true;
    let queue = Queue::connect(&config).await.unwrap();
    config.queue_id = Some(queue.id());
    Queue::connect(&config).await.unwrap();
    config.queue_id = Some(Uuid::nil());
    let error = Queue::connect(&config).await.unwrap_err();
    assert!(matches!(error, QueueError::WrongQueue { .. }), "{error}");
    assert!(
        queue
            .server_address()
            .await
            .unwrap()
            .ends_with(&format!("/{}", db.name()))
    );
}

#[tokio::test]
async fn an_owner_without_the_right_to_create_schemas_can_migrate_a_schema_that_was_made_for_it() {
    let cluster = cluster().await;
    let (db, owner) = (cluster.database().await, cluster.role("").await);
    db.execute(&format!(
        "CREATE SCHEMA pgdumpd AUTHORIZATION {}",
        owner.name
    ))
    .await;
    let pool = sqlx::PgPool::connect(&db.url_as(&owner.name))
        .await
        .unwrap();
    assert_eq!(
        migrate(&pool, &Grants::default()).await.unwrap().version,
        VERSION
    );
}

#[tokio::test]
async fn a_database_that_cannot_write_every_name_is_refused() {
    let db = cluster().await.database().await;
    let name = format!("{}_latin1", db.name());
    db.execute(&format!(
        "CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    ))
    .await;
    let pool = sqlx::PgPool::connect(&db.url().replace(db.name(), &name))
        .await
        .unwrap();
    let refused = pgdumpd::migrate::migrate(&pool, &Default::default()).await;
    assert!(
        matches!(&refused, Err(pgdumpd::migrate::MigrateError::Encoding { found }) if found == "LATIN1"),
        "{refused:?}"
    );
}

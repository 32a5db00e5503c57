//! What a dump holds with each kind of filter, and that the queue is never in it.

use std::io::{Seek, Write};

use crate::support::{drain, plan};
use pgdumpd::dump::PgDump;
use pgdumpd_client::BackupSpec;
use pgdumpd_testkit::{Cluster, Database, FakePgDump, Then, cluster};
use tokio::process::Command;

fn patterns(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|text| (*text).to_owned()).collect()
}

/// Each kind of filter, also such as name the queue.
fn specs() -> Vec<(&'static str, BackupSpec)> {
    let none = BackupSpec::default;
    vec![
        ("none", none()),
        (
            "schemas",
            BackupSpec {
                schemas: patterns(&["public", "pgdumpd", "pg*"]),
                ..none()
            },
        ),
        (
            "exclude_schemas",
            BackupSpec {
                exclude_schemas: patterns(&["audit"]),
                ..none()
            },
        ),
        (
            "tables",
            BackupSpec {
                tables: patterns(&[
                    "public.*",
                    "pgdumpd.*",
                    "*.backup_jobs",
                    "\"pgdumpd\".\"backup_jobs\"",
                ]),
                ..none()
            },
        ),
        (
            "exclude_tables",
            BackupSpec {
                exclude_tables: patterns(&["audit.*"]),
                ..none()
            },
        ),
        (
            "exclude_table_data",
            BackupSpec {
                exclude_table_data: patterns(&["audit.*"]),
                ..none()
            },
        ),
        (
            "schemas and tables",
            BackupSpec {
                schemas: patterns(&["pgdumpd", "audit"]),
                tables: patterns(&["public.t", "*.*"]),
                ..none()
            },
        ),
    ]
}

async fn application() -> (&'static Cluster, Database) {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute(
        "CREATE TABLE public.t (id int); CREATE SCHEMA audit; CREATE TABLE audit.log (id int);
         CREATE SCHEMA pgdumpd;
         CREATE TABLE pgdumpd.backup_jobs (id bigserial PRIMARY KEY, target text);
         CREATE VIEW pgdumpd.backup_status AS SELECT id FROM pgdumpd.backup_jobs;
         CREATE FUNCTION pgdumpd.enqueue_backup() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE TYPE pgdumpd.mood AS ENUM ('good');",
    )
    .await;
    (cluster, db)
}

/// The archive's table of contents, as pg_restore tells it.
async fn contents(cluster: &Cluster, archive: &[u8]) -> String {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(archive).unwrap();
    file.rewind().unwrap();
    let output = Command::new(cluster.bin("pg_restore"))
        .arg("--list")
        .stdin(file)
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_queue_is_in_no_dump_whatever_the_filter() {
    let (cluster, db) = application().await;
    for (name, spec) in specs() {
        let plan = plan(&cluster.bin_dir(), &db.url(), spec).await;
        let (mut dump, output) = PgDump::start(&plan).unwrap();
        let archive = drain(output).await.unwrap();
        dump.wait()
            .await
            .unwrap_or_else(|fault| panic!("{name}: {}", fault.report()));
        let list = contents(cluster, &archive).await;
        let entries: Vec<&str> = list.lines().filter(|line| !line.starts_with(';')).collect();
        assert!(
            entries.iter().any(|entry| entry.contains("public t ")),
            "{name} holds nothing: {list}"
        );
        for entry in entries {
            assert!(!entry.contains("pgdumpd"), "{name}: {entry}");
            assert!(!entry.contains("backup_jobs"), "{name}: {entry}");
        }
    }
}

#[tokio::test]
async fn a_dump_does_not_even_lock_the_queue() {
    let (cluster, db) = application().await;
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE pgdumpd.backup_jobs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    for (name, spec) in specs() {
        let plan = plan(&cluster.bin_dir(), &db.url(), spec).await;
        let (mut dump, output) = PgDump::start(&plan).unwrap();
        let reader = drain(output);
        let ended = tokio::time::timeout(crate::support::SOON, dump.wait()).await;
        if ended.is_err() {
            dump.stop(crate::support::SOON).await.unwrap();
        }
        assert!(ended.is_ok_and(|ended| ended.is_ok()), "{name}");
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn a_filter_that_matches_nothing_is_reported() {
    let (cluster, db) = application().await;
    for spec in [
        BackupSpec {
            tables: patterns(&["public.nothing"]),
            ..BackupSpec::default()
        },
        BackupSpec {
            schemas: patterns(&["--nothing"]),
            ..BackupSpec::default()
        },
    ] {
        let plan = plan(&cluster.bin_dir(), &db.url(), spec).await;
        let (mut dump, _output) = PgDump::start(&plan).unwrap();
        let fault = dump.wait().await.unwrap_err();
        assert_eq!(
            fault.code().as_str(),
            "nothing_matched",
            "{}",
            fault.report()
        );
        assert!(!fault.is_transient());
    }
}

#[tokio::test]
async fn the_arguments_of_each_kind_of_filter() {
    let fake = FakePgDump::new(15, b"", Then::Exit(1));
    let mut text = String::new();
    for (name, spec) in specs() {
        let plan = plan(fake.dir(), "postgres://u:secret@127.0.0.1:1/d", spec).await;
        text.push_str(&format!("{name}:\n"));
        for argument in plan.arguments() {
            text.push_str(&format!("  {argument}\n"));
        }
    }
    insta::assert_snapshot!(text, @r#"
    none:
      --format=custom
      --no-password
      --encoding=UTF8
      --strict-names
      --compress=6
      --lock-wait-timeout=610000
      --exclude-schema=pgdumpd
    schemas:
      --format=custom
      --no-password
      --encoding=UTF8
      --strict-names
      --compress=6
      --lock-wait-timeout=610000
      --schema=public
      --schema=pgdumpd
      --schema=pg*
      --exclude-schema=pgdumpd
    exclude_schemas:
      --format=custom
      --no-password
      --encoding=UTF8
      --strict-names
      --compress=6
      --lock-wait-timeout=610000
      --exclude-schema=audit
      --exclude-schema=pgdumpd
    tables:
      --format=custom
      --no-password
      --encoding=UTF8
      --strict-names
      --compress=6
      --lock-wait-timeout=610000
      --table=public.*
      --table=pgdumpd.*
      --table=*.backup_jobs
      --table="pgdumpd"."backup_jobs"
      --exclude-schema=pgdumpd
      --exclude-table=pgdumpd.*
    exclude_tables:
      --format=custom
      --no-password
      --encoding=UTF8
      --strict-names
      --compress=6
      --lock-wait-timeout=610000
      --exclude-table=audit.*
      --exclude-schema=pgdumpd
      --exclude-table=pgdumpd.*
    exclude_table_data:
      --format=custom
      --no-password
      --encoding=UTF8
      --strict-names
      --compress=6
      --lock-wait-timeout=610000
      --exclude-table-data=audit.*
      --exclude-schema=pgdumpd
      --exclude-table=pgdumpd.*
    schemas and tables:
      --format=custom
      --no-password
      --encoding=UTF8
      --strict-names
      --compress=6
      --lock-wait-timeout=610000
      --schema=pgdumpd
      --schema=audit
      --table=public.t
      --table=*.*
      --exclude-schema=pgdumpd
      --exclude-table=pgdumpd.*
    "#);
}

//! Databases whose encoding is not UTF-8: what filters take, how names are shown, and what cannot be converted.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use pgdumpd_client::{BackupRequest, BackupSpec};
use pgdumpd_testkit::Database;
use uuid::Uuid;

use crate::harness::{Daemon, World, quoted};

/// A database of another encoding as the target, and psql in it that converts nothing.
struct Legacy {
    world: World,
    encoding: &'static str,
    _daemon: Daemon,
}

/// `caf` and an e with an acute accent, in this encoding and as a filter writes it; then the same for another name.
struct Names {
    encoding: &'static str,
    names: [(&'static [u8], &'static str); 2],
}

const NAMES: [Names; 3] = [
    Names {
        encoding: "LATIN1",
        names: [(b"t\xe9l", "t\u{e9}l"), (b"t\xe8l", "t\u{e8}l")],
    },
    Names {
        encoding: "EUC_JP",
        names: [
            (b"\xb5\xeb\xce\xc1", "\u{7d66}\u{6599}"),
            (b"\xc8\xeb\xcc\xa9", "\u{79d8}\u{5bc6}"),
        ],
    },
    Names {
        encoding: "SQL_ASCII",
        names: [(b"t\xe9l", r"t\xE9l"), (b"t\xe8l", r"t\xE8l")],
    },
];

async fn create(world: &World, encoding: &str) -> Database {
    let name = format!(
        "t{}_{}",
        std::process::id(),
        &Uuid::new_v4().simple().to_string()[..12]
    );
    world
        .queue
        .execute(&format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        ))
        .await;
    Database::existing(world.cluster, &name)
}

/// Runs SQL that is in the database's own encoding; what it gives, or none where it fails.
fn psql(world: &World, database: &Database, encoding: &str, sql: &[u8]) -> Option<Vec<u8>> {
    let mut psql = Command::new(world.cluster.bin("psql"))
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &database.url()])
        .env("PGCLIENTENCODING", encoding)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    psql.stdin.take().unwrap().write_all(sql).unwrap();
    let output = psql.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

impl Legacy {
    async fn new(encoding: &'static str, sql: &[u8]) -> Self {
        let mut world = World::new().await;
        let database = create(&world, encoding).await;
        let done = psql(&world, &database, encoding, sql);
        assert!(done.is_some(), "{encoding}");
        world.set("targets.shop", "url", quoted(&database.url()));
        let daemon = world.daemon().await;
        Self {
            world,
            encoding,
            _daemon: daemon,
        }
    }

    async fn restore(&self, archive: &Path) -> Database {
        let database = create(&self.world, self.encoding).await;
        let output = Command::new(self.world.cluster.bin("pg_restore"))
            .args(["--exit-on-error", "--dbname", &database.url()])
            .arg(archive)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // pg_dump takes a chosen table without its schema.
        assert!(output.status.success(), "{said}");
        database
    }

    /// The rows of a table as they are in the database, one after another; none where there is no such table.
    fn rows(&self, database: &Database, table: &[u8]) -> Option<Vec<u8>> {
        let mut sql = b"SELECT * FROM ".to_vec();
        sql.extend_from_slice(table);
        psql(&self.world, database, self.encoding, &sql)
    }

    async fn back_up(&self, spec: BackupSpec) -> Uuid {
        let request = BackupRequest::new("shop").spec(spec);
        let id = self.world.enqueue_request(request).await;
        self.world.succeeded(id).await;
        id
    }

    fn archive(&self, id: Uuid) -> std::path::PathBuf {
        let mut backups = self.world.backups().into_iter();
        backups
            .find(|archive| archive.display().to_string().contains(&id.to_string()))
            .unwrap()
    }
}

/// A name between double quotes.
fn named(name: &[u8]) -> Vec<u8> {
    [b"\"", name, b"\""].concat()
}

/// Two tables in public, and one in a schema, of odd names; the value of each row is its table's name.
fn schema(names: &Names) -> Vec<u8> {
    let [(first, _), (other, _)] = names.names;
    let mut sql = Vec::new();
    let tables = [first.to_vec(), other.to_vec()];
    for table in &tables {
        let table_name = [b"public.".to_vec(), named(table)].concat();
        sql.extend(
            [
                &b"CREATE TABLE "[..],
                &table_name,
                b" (name text); INSERT INTO ",
                &table_name,
                b" VALUES ('",
                table,
                b"');\n",
            ]
            .concat(),
        );
    }
    let inner = [named(first), b".inside".to_vec()].concat();
    sql.extend(
        [
            &b"CREATE SCHEMA "[..],
            &named(first),
            b"; CREATE TABLE ",
            &inner,
            b" AS SELECT '",
            other,
            b"'::text;",
        ]
        .concat(),
    );
    sql
}

#[tokio::test]
async fn filters_take_what_they_name_whatever_the_encoding_of_the_database() {
    for names in &NAMES {
        let legacy = Legacy::new(names.encoding, &schema(names)).await;
        let [(first, first_pattern), (other, _)] = names.names;
        let table = vec![format!("public.\"{first_pattern}\"")];
        let in_schema = vec![format!("\"{first_pattern}\"")];
        let none = BackupSpec::default;
        // The spec, then what is restored of the first table, of the other one, and of the one in the schema.
        let [all, gone, empty] = [Some(1), None, Some(0)];
        for (spec, expected) in [
            (none(), [all, all, all]),
            (
                BackupSpec {
                    tables: table.clone(),
                    ..none()
                },
                [all, gone, gone],
            ),
            (
                BackupSpec {
                    exclude_tables: table.clone(),
                    ..none()
                },
                [gone, all, all],
            ),
            (
                BackupSpec {
                    exclude_table_data: table.clone(),
                    ..none()
                },
                [empty, all, all],
            ),
            (
                BackupSpec {
                    schemas: in_schema.clone(),
                    ..none()
                },
                [gone, gone, all],
            ),
            (
                BackupSpec {
                    exclude_schemas: in_schema.clone(),
                    ..none()
                },
                [all, all, gone],
            ),
        ] {
            let id = legacy.back_up(spec.clone()).await;
            let restored = legacy.restore(&legacy.archive(id)).await;
            let found = [
                ([b"public.".to_vec(), named(first)].concat(), first),
                ([b"public.".to_vec(), named(other)].concat(), other),
                ([named(first), b".inside".to_vec()].concat(), other),
            ]
            .map(|(table, row)| {
                let rows = legacy.rows(&restored, &table)?;
                let expected = [row, b"\n"].concat();
                assert!(
                    rows.is_empty() || rows == expected,
                    "{}: {rows:?}",
                    names.encoding
                );
                Some(usize::from(!rows.is_empty()))
            });
            assert_eq!(found, expected, "{}: {spec:?}", names.encoding);
        }
    }
}

#[tokio::test]
async fn names_that_differ_in_bytes_that_are_not_utf8_are_shown_apart_and_each_is_fetched() {
    let names = &NAMES[2];
    let legacy = Legacy::new(names.encoding, &schema(names)).await;
    let id = legacy.back_up(BackupSpec::default()).await.to_string();
    let shown = legacy.world.say(&["show", &id]).code(0).out;
    for (bytes, pattern) in names.names {
        let table = format!("public.\"{pattern}\"");
        assert!(shown.contains(&table), "{shown}");
        let file = legacy.world.dir.path().join("fetched.dump");
        let _ = std::fs::remove_file(&file);
        legacy
            .world
            .say(&[
                "fetch",
                &id,
                "--table",
                &table,
                "-o",
                &file.display().to_string(),
            ])
            .code(0);
        let restored = legacy.restore(&file).await;
        let table = [b"public.".to_vec(), named(bytes)].concat();
        let rows = legacy.rows(&restored, &table);
        assert_eq!(rows, Some([bytes, b"\n"].concat()));
    }
    let manifest = legacy.world.manifest(&legacy.world.backups()[0]);
    assert!(
        manifest
            .pg_dump
            .arguments
            .contains(&"--encoding=SQL_ASCII".to_owned())
    );
}

#[tokio::test]
async fn a_pattern_of_bytes_is_kept_in_the_manifest_as_it_is_shown() {
    let names = &NAMES[2];
    let legacy = Legacy::new(names.encoding, &schema(names)).await;
    let tables = vec![r"public.t\xE9*".to_owned()];
    let id = legacy
        .back_up(BackupSpec {
            tables: tables.clone(),
            ..BackupSpec::default()
        })
        .await;
    let manifest = legacy.world.manifest(&legacy.archive(id));
    assert!(
        manifest
            .pg_dump
            .arguments
            .contains(&r"--table=public.t\xE9*".to_owned())
    );
    assert_eq!(manifest.spec.tables, tables);
}

/// LATIN1 lacks the letter, and a filter of UTF-8 would match nothing.
#[tokio::test]
async fn a_database_that_is_set_to_another_client_encoding_is_dumped_in_utf8() {
    let world = World::new().await;
    world
        .shop
        .execute(&format!(
            "CREATE TABLE \"\u{7d66}\u{6599}\" AS SELECT '\u{20ac}'::text AS sign;
             CREATE TABLE \"L\u{f6}hne\" AS SELECT 1 AS secret;
             ALTER DATABASE {} SET client_encoding = 'LATIN1'",
            world.shop.name()
        ))
        .await;
    let _daemon = world.daemon().await;
    let spec = BackupSpec {
        exclude_table_data: vec!["public.\"L\u{f6}hne\"".to_owned()],
        ..BackupSpec::default()
    };
    let id = world
        .enqueue_request(BackupRequest::new("shop").spec(spec))
        .await;
    world.succeeded(id).await;
    let restored = world.restore(&world.backups()[0]).await;
    let sql =
        "SELECT (SELECT sign FROM \"\u{7d66}\u{6599}\"), (SELECT count(*) FROM \"L\u{f6}hne\")"
            .to_owned();
    let found: (String, i64) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .fetch_one(&mut restored.connect().await)
        .await
        .unwrap();
    assert_eq!(found, ("\u{20ac}".to_owned(), 0));
}

#[tokio::test]
async fn a_byte_that_has_no_place_in_utf8_fails_for_good_and_names_its_table() {
    let sql = b"CREATE TABLE odd (text text); INSERT INTO odd VALUES ('a\x81b');";
    let legacy = Legacy::new("WIN1252", sql).await;
    let world = &legacy.world;
    let status = world.failed(world.enqueue().await).await;
    assert_eq!(
        status.error_code.as_deref(),
        Some("not_convertible"),
        "{status:#?}"
    );
    assert_eq!(status.attempt, 1, "trying again cannot help");
    let error = status.error.unwrap();
    assert!(
        error.contains("\"odd\"") && error.contains("0x81"),
        "{error}"
    );
    world.assert_clean(0).await;
}

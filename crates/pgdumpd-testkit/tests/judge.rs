//! The judge sees what differs, and nothing where nothing does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use pgdumpd_testkit::{Cluster, Database, cluster, contents, fill, fill_large_objects};

async fn filled() -> (&'static Cluster, Database) {
    let cluster = cluster().await;
    let db = cluster.database().await;
    fill(&db, 1).await;
    fill_large_objects(&db, 3, 5000).await;
    (cluster, db)
}

fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("PostgreSQL's tools run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_restored_dump_equals_its_source() {
    let (cluster, source) = filled().await;
    let restored = cluster.database().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump").to_string_lossy().into_owned();
    run(
        &cluster.bin("pg_dump"),
        &["-Fc", "-d", &source.url(), "-f", &file],
    );
    run(
        &cluster.bin("pg_restore"),
        &["--exit-on-error", "-d", &restored.url(), &file],
    );
    let (source, restored) = (contents(&source).await, contents(&restored).await);
    assert_eq!(source, restored);
    assert_eq!(source["public.parent"].0, 7, "only the parent's own rows");
    assert_eq!(source["public.no_columns"].0, 3);
    assert_eq!(source["public.untouched"], (5, "not called".to_owned()));
    assert_eq!(source["(large objects)"].0, 3);
}

#[tokio::test]
async fn filling_twice_gives_the_same() {
    let (_, first) = filled().await;
    let (_, second) = filled().await;
    assert_eq!(contents(&first).await, contents(&second).await);
}

#[tokio::test]
async fn one_changed_byte_shows_and_nothing_else_does() {
    let (_, db) = filled().await;
    let before = contents(&db).await;
    let changes = [
        (
            "public.wide_text",
            "UPDATE wide_text SET body = overlay(body PLACING '!' FROM 9) WHERE id = 7",
        ),
        ("public.narrow", "UPDATE narrow SET c = 6 WHERE a = 12"),
        (
            r#""Odd Schema".blobs"#,
            r#"UPDATE "Odd Schema".blobs SET content = set_bit(content, 77, 1 - get_bit(content, 77)) WHERE id = 3"#,
        ),
        (
            "public.odd_values",
            "UPDATE odd_values SET s = NULL WHERE id = 2",
        ),
        ("public.no_columns", "INSERT INTO no_columns DEFAULT VALUES"),
        ("public.untouched", "SELECT nextval('untouched')"),
        ("(large objects)", "SELECT lo_put(900002, 4999, 'x')"),
        ("(triggers)", "DROP TRIGGER note_change ON documents"),
    ];
    let mut expected = BTreeSet::new();
    for (name, sql) in changes {
        db.execute(sql).await;
        expected.insert(name);
    }
    let after = contents(&db).await;
    let changed: BTreeSet<&str> = before
        .iter()
        .filter(|(name, found)| after.get(*name) != Some(found))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(changed, expected);
    assert!(after.keys().all(|name| before.contains_key(name)));
}

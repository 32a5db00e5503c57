//! What a table needs and pg_dump records no dependency of comes along, or is named.

use pgdump_archive::{Missing, Selection, TableName};
use pgdumpd_testkit::{Cluster, Database, cluster, cluster_of};

use crate::archive::Archive;
use crate::judge;

const CLOSURE: &str = include_str!("closure.sql");

async fn source(cluster: &Cluster) -> (Database, Archive) {
    let role = cluster.role("").await;
    let db = cluster.database().await;
    db.execute(&CLOSURE.replace("role_", &role.name)).await;
    let archive = Archive::dump(cluster, &db).await;
    (db, archive)
}

fn select(archive: &Archive, names: &[&str]) -> Selection {
    let names: Vec<_> = names
        .iter()
        .map(|name| TableName::new("s", *name))
        .collect();
    archive.toc.select(&names).unwrap()
}

/// What is said to be missing, a line each.
fn said(selection: &Selection) -> Vec<String> {
    selection
        .incomplete
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// What is kept, sorted, but for what every archive has.
fn kept(selection: &Selection) -> Vec<String> {
    let entries = selection
        .toc
        .entries()
        .iter()
        .filter(|entry| entry.schema.is_some() || entry.oid != 0);
    let lines = entries.map(|entry| format!("{} {}", entry.description, entry.tag));
    let mut lines: Vec<_> = lines
        .filter(|line| !line.starts_with("STATISTICS DATA"))
        .collect();
    lines.sort();
    lines
}

async fn each_table_brings_what_its_indexes_and_functions_need(major: u32) {
    let Some(cluster) = cluster_of(major).await else {
        return;
    };
    let (source, archive) = source(cluster).await;
    let tables = archive.tables();
    assert!(tables.len() > 60, "{} tables", tables.len());
    for table in &tables {
        let selection = archive.toc.select(std::slice::from_ref(table)).unwrap();
        // Its index calls a function that reads a table that is not there; this is said, and tested below.
        if table.name != "text_table" {
            judge(cluster, &source, &archive, &selection).await;
        }
        let expected: &[&str] = match &*table.name {
            "text_table" => {
                &["function s.reads_table(integer) reads s.lookup, which was not selected"]
            }
            "text_stored" => &["materialized view s.stored is not filled: refresh it"],
            "mixed" => {
                &["s.mixed_1 of s.mixed is a foreign table: its rows are not in the archive"]
            }
            _ => &[],
        };
        assert_eq!(said(&selection), expected, "{table}");
    }
    judge(
        cluster,
        &source,
        &archive,
        &select(&archive, &["text_table", "lookup"]),
    )
    .await;
}

#[tokio::test]
async fn each_table_brings_what_its_indexes_and_functions_need_on_postgresql_14() {
    each_table_brings_what_its_indexes_and_functions_need(14).await;
}

#[tokio::test]
async fn each_table_brings_what_its_indexes_and_functions_need_on_postgresql_15() {
    each_table_brings_what_its_indexes_and_functions_need(15).await;
}

#[tokio::test]
async fn each_table_brings_what_its_indexes_and_functions_need_on_postgresql_16() {
    each_table_brings_what_its_indexes_and_functions_need(16).await;
}

#[tokio::test]
async fn each_table_brings_what_its_indexes_and_functions_need_on_postgresql_17() {
    each_table_brings_what_its_indexes_and_functions_need(17).await;
}

#[tokio::test]
async fn each_table_brings_what_its_indexes_and_functions_need_on_postgresql_18() {
    each_table_brings_what_its_indexes_and_functions_need(18).await;
}

#[tokio::test]
async fn a_plain_table_brings_nothing_but_its_own() {
    let (_, archive) = source(cluster().await).await;
    let simple = select(&archive, &["simple"]);
    let expected = [
        "CONSTRAINT simple simple_path_at_note_key",
        "CONSTRAINT simple simple_pkey",
        "INDEX simple_at_idx",
        "SCHEMA s",
        "TABLE DATA simple",
        "TABLE simple",
    ];
    assert_eq!(kept(&simple), expected);

    // The extension that its exclusion needs, and no other.
    let booking = kept(&select(&archive, &["booking"]));
    let of = |lines: &[String], wanted: &str| {
        let lines = lines.iter().filter(|line| line.starts_with(wanted));
        lines
            .map(|line| line[wanted.len()..].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&booking, "EXTENSION "), ["btree_gist"]);
    assert_eq!(of(&booking, "FUNCTION "), [""; 0]);
    // The operators of its own type, not those of the other that have the same names.
    let pair = kept(&select(&archive, &["key_of_pair"]));
    assert_eq!(of(&pair, "TYPE "), ["pair"]);
    let operators = [
        "<<",
        "<<=",
        "===",
        ">>",
        ">>=",
        "CLASS pair_ops",
        "FAMILY pair_ops",
    ];
    assert_eq!(of(&pair, "OPERATOR "), operators);
}

#[tokio::test]
async fn a_table_whose_rows_the_archive_lacks_is_named() {
    let cluster = cluster().await;
    let (db, _) = source(cluster).await;
    let without = [
        "--exclude-table-data=s.simple",
        "--exclude-table-data=s.log_1",
    ];
    let archive = Archive::dump_with(cluster, &db, &without).await;
    let selection = select(&archive, &["simple", "log", "lookup"]);
    assert_eq!(
        said(&selection),
        [
            "s.log_1 has no rows in the archive",
            "s.simple has no rows in the archive"
        ]
    );
    assert!(
        selection
            .incomplete
            .iter()
            .all(|one| one.reason == Missing::Rows && one.of.is_none())
    );
    let whole = select(&archive, &["no_columns", "log_2", "mixed_2"]);
    assert_eq!(said(&whole), [""; 0]);

    let schema_only = Archive::dump_with(cluster, &db, &["--schema-only"]).await;
    assert_eq!(
        said(&select(&schema_only, &["lookup"])),
        ["s.lookup has no rows in the archive"]
    );
}

#[tokio::test]
async fn what_a_partial_archive_lacks_is_named() {
    let cluster = cluster().await;
    let (db, _) = source(cluster).await;
    let tables = [
        "excluded_class",
        "excluded_function",
        "key_of_pair",
        "hashed",
        "hashed_0",
        "generated",
        "simple",
    ];
    let tables: Vec<_> = tables
        .iter()
        .map(|name| format!("--table=s.{name}"))
        .collect();
    let tables: Vec<_> = tables.iter().map(String::as_str).collect();
    let archive = Archive::dump_with(cluster, &db, &tables).await;
    let schema = "schema s is not in the archive";
    for (table, lines) in [
        ("simple", &[][..]),
        (
            "key_of_pair",
            &["table s.key_of_pair needs s.pair, which is not in the archive"],
        ),
        (
            "generated",
            &["table s.generated needs o.f, which is not in the archive"],
        ),
    ] {
        let selection = select(&archive, &[table]);
        assert_eq!(said(&selection), [&[schema], lines].concat(), "{table}");
    }
    let lines = said(&select(&archive, &["excluded_class"]));
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("needs s.other_ops, which is not in the archive")),
        "{lines:?}"
    );
    let lines = said(&select(&archive, &["excluded_function"]));
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("needs o.f, which is not in the archive")),
        "{lines:?}"
    );
}

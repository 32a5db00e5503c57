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
        // An index or a generated column differs where its function reads a table that is empty or not there. This is
        // said, and tested below.
        if !READERS.contains(&&*table.name) {
            judge(cluster, &source, &archive, &selection).await;
        }
        let expected = missing(table).map(str::to_owned);
        let said = said(&selection);
        assert_eq!(said, expected.as_slice(), "{table}");
    }
    let readers = [&READERS[..], &["lookup", "a_lookup"]].concat();
    let selection = select(&archive, &readers);
    assert_eq!(said(&selection), [""; 0]);
    judge(cluster, &source, &archive, &selection).await;
}

/// Tables whose restored values depend on the rows of another.
const READERS: [&str; 6] = [
    "text_table",
    "reads_row",
    "reads_by_view",
    "reads_parsed",
    "reads_language",
    "reads_list",
];

/// What is missing where only this table is selected.
fn missing(table: &TableName) -> Option<&'static str> {
    Some(match (&*table.schema, &*table.name) {
        ("s", "text_table") => {
            "function s.reads_table(integer) reads s.lookup, which was not selected"
        }
        // The view comes along, and has no rows, since the table below it comes empty: the index differs from now on.
        ("s", "text_view") => {
            "function s.reads_view(integer) reads s.lookup, which was not selected"
        }
        ("s", "text_odd_view") => {
            "function s.reads_odd_view(integer) reads s.lookup, which was not selected"
        }
        ("s", "parsed_body") => "function s.parsed(integer) reads s.lookup, which was not selected",
        ("s", "secured") => "function s.may() reads s.lookup, which was not selected",
        ("s", "reads_row") => "function s.rate(integer) reads s.a_lookup, which was not selected",
        ("s", "reads_by_view") => {
            "function s.rate_by_view(integer) reads s.a_lookup, which was not selected"
        }
        ("s", "reads_parsed") => {
            "function s.rate_parsed(integer) reads s.a_lookup, which was not selected"
        }
        ("s", "reads_language") => {
            "function s.rate_of(text) reads s.a_lookup, which was not selected"
        }
        ("s", "reads_list") => {
            "function s.rate_in_list(integer) reads s.a_lookup, which was not selected"
        }
        ("t1", "invoices") => {
            "function t1.gross(integer) reads t1.settings, which was not selected"
        }
        ("t2", "invoices") => {
            "function t2.gross(integer) reads t2.settings, which was not selected"
        }
        ("s", "text_stored") => "materialized view s.stored is not filled: refresh it",
        ("s", "mixed") => {
            "s.mixed_1 of s.mixed is a foreign table: its rows are not in the archive"
        }
        ("s", "default_of_foreign") => {
            "function s.reads_foreign() reads s.mixed_1, a foreign table: its rows are not in the archive"
        }
        ("s", "of_objects") => "s.of_objects may refer to large objects, which are left out",
        _ => return None,
    })
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
    // A cast that depends on nothing may be used by anything.
    let expected = [
        "CAST CAST (bigint AS json)",
        "CONSTRAINT simple simple_path_at_note_key",
        "CONSTRAINT simple simple_pkey",
        "INDEX simple_at_idx",
        "SCHEMA s",
        "TABLE DATA simple",
        "TABLE simple",
    ];
    assert_eq!(kept(&simple), expected);
    let left_out: Vec<_> = simple.left_out.iter().map(ToString::to_string).collect();
    let expected = [
        "inheriting table s.simple_abroad of s.simple",
        "rule \"x _RETURN\" of s.simple",
    ];
    assert_eq!(left_out, expected);

    // What constants name, and nothing that only has a name like it in another schema.
    let constants = kept(&select(&archive, &["constants"]));
    for line in ["SEQUENCE old", "SEQUENCE SET old"] {
        assert!(constants.iter().any(|kept| kept == line), "{constants:?}");
    }
    let invoices = archive.toc.select(&[TableName::new("t1", "invoices")]);
    let invoices = invoices.unwrap().toc;
    let functions = invoices.entries().iter();
    let functions = functions.filter(|entry| entry.description == "FUNCTION");
    let functions: Vec<_> = functions.map(|entry| entry.qualified_name()).collect();
    assert_eq!(functions, ["t1.gross(integer)", "t1.net(integer)"]);

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

//! That what a filter matches is what pg_dump makes of it.

use std::collections::BTreeSet;
use std::process::Command;

use pgdumpd::server::Target;
use pgdumpd_client::BackupSpec;
use pgdumpd_testkit::{cluster, cluster_of};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::support::url;

/// Names and patterns of few letters, so that many match.
const PARTS: [&str; 6] = ["a", "b", "A", "é", "$", "."];
const SIGNS: [&str; 21] = [
    "a", "b", "a", "b", "A", "é", "*", "?", ".", ".", "\"", "\"", "$", "a|b", "(b|A)", "[ab]",
    "[]", "+", "\\.", "\\w", "{1,2}",
];

fn texts(parts: &'static [&'static str], longest: usize) -> impl Strategy<Value = String> {
    let part = proptest::sample::select(parts);
    proptest::collection::vec(part, 1..=longest).prop_map(|parts| parts.concat())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[tokio::test]
async fn a_pattern_matches_what_pg_dump_leaves_out_for_it() {
    for major in [14, 18] {
        let Some(server) = cluster_of(major).await else {
            continue;
        };
        let database = server.database().await;
        let mut runner = TestRunner::deterministic();
        let mut pick = |strategy: &dyn Fn() -> BoxedStrategy<String>| {
            strategy().new_tree(&mut runner).unwrap().current()
        };
        let names = || texts(&PARTS, 3).boxed();
        let (mut sql, mut made) = (String::new(), BTreeSet::new());
        for schema in ["public", "a", "A.b"] {
            let schema_name = quoted(schema);
            sql.push_str(&format!("CREATE SCHEMA IF NOT EXISTS {schema_name};"));
            for _ in 0..12 {
                let name = pick(&names);
                if made.insert((schema, name.clone())) {
                    sql.push_str(&format!("CREATE TABLE {schema_name}.{} ();", quoted(&name)));
                }
            }
        }
        // What a pattern without a schema means is up to the search path.
        sql.push_str(&format!(
            "ALTER DATABASE {} SET search_path = a, public",
            database.name()
        ));
        database.execute(&sql).await;
        let target = Target::connect("shop", &url(&database.url()))
            .await
            .unwrap();
        let all = dumped(server.bin("pg_dump"), &database.url(), &[]).unwrap();
        let (mut matched, mut refused) = (0, 0);
        for _ in 0..60 {
            let pattern = pick(&|| texts(&SIGNS, 6).boxed());
            let left = dumped(
                server.bin("pg_dump"),
                &database.url(),
                &[format!("--exclude-table={pattern}")],
            );
            let spec = BackupSpec {
                exclude_tables: vec![pattern.clone()],
                ..BackupSpec::default()
            };
            match (left, target.matches(&spec).await) {
                (Some(left), Ok(found)) => {
                    let out: BTreeSet<u32> = all.difference(&left).copied().collect();
                    let found: BTreeSet<u32> = found.exclude_tables.into_iter().collect();
                    // Those of the catalog are never dumped.
                    let found: BTreeSet<u32> = found.intersection(&all).copied().collect();
                    assert_eq!(found, out, "{pattern:?} on {major}");
                    matched += usize::from(!out.is_empty());
                }
                (None, Err(fault)) => {
                    assert_eq!(fault.code().as_str(), "spec_invalid", "{pattern:?}");
                    refused += 1;
                }
                (left, found) => panic!("{pattern:?} on {major}: {left:?}, {found:?}"),
            }
        }
        assert!(
            matched > 5 && refused > 0,
            "{matched} matched, {refused} refused"
        );
    }
}

/// The oids of the tables in a dump without rows; none where pg_dump refuses its options.
fn dumped(pg_dump: std::path::PathBuf, url: &str, options: &[String]) -> Option<BTreeSet<u32>> {
    let output = Command::new(pg_dump)
        .args([
            "--format=custom",
            "--schema-only",
            "--encoding=UTF8",
            "--dbname",
            url,
        ])
        .args(options)
        .output()
        .unwrap();
    if !output.status.success() {
        return None;
    }
    let mut parser = pgdump_archive::Parser::new();
    parser.push(&output.stdout, &mut |_| {}).unwrap();
    let toc = parser.toc().unwrap();
    let tables = toc
        .entries()
        .iter()
        .filter(|entry| entry.description == "TABLE");
    Some(tables.map(|entry| entry.oid).collect())
}

#[tokio::test]
async fn a_pattern_that_names_the_database_matches_in_it() {
    let database = cluster().await.database().await;
    database.execute("CREATE TABLE orders (id int)").await;
    let target = Target::connect("shop", &url(&database.url()))
        .await
        .unwrap();
    let spec = BackupSpec {
        tables: vec![format!("{}.public.orders", database.name())],
        ..BackupSpec::default()
    };
    assert_eq!(target.matches(&spec).await.unwrap().tables.len(), 1);
}

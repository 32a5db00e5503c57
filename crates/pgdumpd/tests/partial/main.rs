//! Small archives of one table each, restored by the server's own `pg_restore`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a broken environment ends the test"
)]

mod archive;
mod closure;
mod filled;

use pgdump_archive::{DumpId, Selection, TableName};
use pgdumpd_testkit::{Cluster, Database, cluster, cluster_of};
use sqlx::{AssertSqlSafe, Row as _};

use archive::Archive;

/// What pgdump-archive's golden archives were made from.
const GOLDEN: &str = include_str!("../../../pgdump-archive/tests/golden/schema.sql");
const RICH: &str = include_str!("schema.sql");

/// A database with all that the two files hold, and its archive.
async fn source(cluster: &Cluster) -> (Database, Archive) {
    let (owner, reader) = (cluster.role("").await, cluster.role("").await);
    let db = cluster.database().await;
    db.execute(GOLDEN).await;
    let rich = RICH
        .replace("owner_", &owner.name)
        .replace("reader_", &reader.name);
    db.execute(&rich).await;
    let archive = Archive::dump(cluster, &db).await;
    (db, archive)
}

/// Everything of a table that should come back.
async fn describe(db: &Database, table: &str) -> Vec<String> {
    let mut connection = db.connect().await;
    let rows = sqlx::query(include_str!("describe.sql"))
        .bind(table)
        .fetch_all(&mut connection)
        .await;
    let rows = rows.unwrap_or_else(|error| panic!("{table}: {error}"));
    rows.iter().map(|row| row.get(0)).collect()
}

async fn has_rows(db: &Database, table: &str) -> bool {
    let sql = format!("SELECT EXISTS (SELECT FROM ONLY {table})");
    let mut connection = db.connect().await;
    let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection);
    found.await.unwrap()
}

/// The names of tables in an archive, as SQL writes them.
fn names(archive: &Archive, tables: &[DumpId]) -> Vec<String> {
    let entries = tables.iter().map(|id| archive.toc.get(*id).unwrap());
    entries.map(|entry| entry.qualified_name()).collect()
}

/// Restores a selection and compares its tables with the source's.
async fn judge(cluster: &Cluster, source: &Database, archive: &Archive, selection: &Selection) {
    let target = cluster.database().await;
    archive.restore(cluster, selection, &target).await;
    for table in names(archive, &selection.tables) {
        let (want, have) = (
            describe(source, &table).await,
            describe(&target, &table).await,
        );
        assert!(want.iter().any(|line| line.starts_with("rows | ")));
        assert_eq!(want, have, "{table} on PostgreSQL {}", cluster.major());
    }
    for table in names(archive, &selection.empty_tables) {
        assert!(!has_rows(&target, &table).await, "{table} has rows");
    }
}

async fn each_table_restores_by_itself(major: u32) {
    let Some(cluster) = cluster_of(major).await else {
        return;
    };
    let (source, archive) = source(cluster).await;
    let tables = archive.tables();
    assert!(tables.len() > 35, "{} tables", tables.len());
    for table in &tables {
        let selection = archive.toc.select(std::slice::from_ref(table)).unwrap();
        judge(cluster, &source, &archive, &selection).await;
    }
    let all = archive.toc.select(&tables).unwrap();
    assert_eq!(all.empty_tables, []);
    judge(cluster, &source, &archive, &all).await;
}

#[tokio::test]
async fn each_table_restores_by_itself_on_postgresql_14() {
    each_table_restores_by_itself(14).await;
}

#[tokio::test]
async fn each_table_restores_by_itself_on_postgresql_15() {
    each_table_restores_by_itself(15).await;
}

#[tokio::test]
async fn each_table_restores_by_itself_on_postgresql_16() {
    each_table_restores_by_itself(16).await;
}

#[tokio::test]
async fn each_table_restores_by_itself_on_postgresql_17() {
    each_table_restores_by_itself(17).await;
}

#[tokio::test]
async fn each_table_restores_by_itself_on_postgresql_18() {
    each_table_restores_by_itself(18).await;
}

#[tokio::test]
async fn what_a_table_needs_comes_along_and_the_rest_stays_away() {
    let (_, archive) = source(cluster().await).await;
    let select_of = |schema, name| archive.toc.select(&[TableName::new(schema, name)]);
    let select = |name| select_of("app", name).unwrap();
    let kept = |selection: &Selection, wanted: &str| {
        let entries = selection.toc.entries().iter();
        let lines = entries.map(|entry| format!("{} {}", entry.description, entry.tag));
        lines.filter(|line| line.starts_with(wanted)).count()
    };

    // A policy of another table, which looks into this one, and views of it.
    let members = select("members");
    assert_eq!(members.empty_tables, []);
    for absent in ["POLICY", "VIEW", "FUNCTION", "EXTENSION", "TYPE"] {
        assert_eq!(kept(&members, absent), 0, "{absent}");
    }

    // Functions that nothing refers to; what its texts name is there.
    let items = select("items");
    assert_eq!(items.empty_tables, []);
    for (line, count) in [
        ("FUNCTION trimmed(text)", 1),
        ("TYPE hidden", 1),
        ("SEQUENCE numbers", 1),
        ("SEQUENCE SET numbers", 1),
        ("CAST", 1),
        ("EXTENSION", 3),
        ("FUNCTION unused()", 0),
        ("FUNCTION notice()", 0),
        ("SEQUENCE standalone", 0),
        ("MATERIALIZED VIEW", 0),
    ] {
        assert_eq!(kept(&items, line), count, "{line}");
    }

    // A view that pg_dump writes as a dummy first, since it needs a primary key.
    let pairs = select("pairs");
    for line in [
        "VIEW by_id",
        "RULE by_id _RETURN",
        "CONSTRAINT items items_pkey",
    ] {
        assert_eq!(kept(&pairs, line), 1, "{line}");
    }

    // A schema that every database has and whose grants were changed.
    let in_public = select_of("public", "items").unwrap();
    assert_eq!(kept(&in_public, "ACL SCHEMA public"), 1);
    assert_eq!(kept(&members, "ACL SCHEMA public"), 0);

    let left_out: Vec<_> = select("orders")
        .left_out
        .iter()
        .map(ToString::to_string)
        .collect();
    let of_schema = (cluster().await.major() >= 15).then_some("publication of_schema");
    for line in [
        "foreign key orders_item_fkey of app.orders",
        "trigger noticed of app.orders",
        "rule untouched of app.orders",
        "publication of_orders of app.orders",
        "publication everything",
        "event trigger on_ddl",
    ]
    .into_iter()
    .chain(of_schema)
    {
        assert!(
            left_out.iter().any(|left| left == line),
            "{line}: {left_out:?}"
        );
    }
}

//! Counts against the database's own.

use crate::recompress::{SCHEMA, dump, index, recompress};
use pgdump_archive::DataKind;
use pgdumpd_testkit::cluster;
use sqlx::{AssertSqlSafe, Row as _};

#[tokio::test]
async fn row_counts_equal_those_of_the_database() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute(SCHEMA).await;
    let plain = dump(cluster, &db, &["-Z0"]);
    let ours = recompress(&plain, "gzip:6").1;
    let theirs = index(&dump(cluster, &db, &[])).1;
    let mut connection = db.connect().await;
    let mut tables = 0;
    for (entry, same) in ours.entries.iter().zip(&theirs.entries) {
        assert_eq!(entry.rows, same.rows);
        if entry.kind == DataKind::LargeObjects {
            assert_eq!(entry.rows, None);
            assert_eq!(entry.large_objects, Some(4));
            continue;
        }
        tables += 1;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let schema = entry.schema.as_deref().unwrap();
        let sql = format!(
            "SELECT count(*) FROM ONLY {}.{}",
            quoted(schema),
            quoted(&entry.name)
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let count: i64 = row.get(0);
        assert_eq!(entry.rows, u64::try_from(count).ok(), "{}", entry.name);
    }
    assert!(tables > 10);
    let inserts = recompress(&dump(cluster, &db, &["-Z0", "--inserts"]), "gzip:6").1;
    assert!(inserts.entries.iter().all(|entry| entry.rows.is_none()));
}

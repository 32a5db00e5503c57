//! Every SQL file is a statement that a migrated database accepts, as the daemon's role.

use std::path::Path;

use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use crate::fixture::fixture;

#[tokio::test]
async fn every_sql_file_can_be_prepared_by_the_daemons_role() {
    let f = fixture().await;
    let pool = PgPool::connect(&f.db.url_as(&f.daemon.name)).await.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queue/sql");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sql = std::fs::read_to_string(&path).unwrap();
        let prepared = pool
            .prepare(sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(sql)))
            .await;
        prepared.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
    }
    assert!(count >= 20, "{count} files");
}

#[test]
fn every_statement_that_the_benchmark_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("../../script/lib/bench_queue.py");
    let script = std::fs::read_to_string(script).unwrap();
    let named: Vec<&str> = script
        .split("statement(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        let file = root.join(format!("src/queue/sql/{name}.sql"));
        assert!(file.exists(), "{name}");
    }
}

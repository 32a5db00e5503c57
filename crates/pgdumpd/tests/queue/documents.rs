//! The documents say what the database says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::fixture::fixture;

type Columns = BTreeMap<String, BTreeSet<String>>;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words in back-quotes.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The first cells of the tables below headings such as "### `backup_jobs`".
fn documented(text: &str) -> Columns {
    let mut columns = Columns::new();
    let mut relation = None;
    for line in text.lines() {
        if line.starts_with('#') {
            relation = line
                .strip_prefix("### ")
                .and_then(|heading| quoted(heading).next());
        } else if let (Some(relation), Some(row)) = (&relation, line.strip_prefix("| `")) {
            let cell = format!("`{}", row.split('|').next().unwrap());
            columns
                .entry(relation.clone())
                .or_default()
                .extend(quoted(&cell));
        }
    }
    columns
}

#[tokio::test]
async fn every_column_of_every_table_and_view_is_documented_and_no_other() {
    let f = fixture().await;
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'pgdumpd'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .fetch_all(&f.admin)
    .await
    .unwrap();
    let mut catalog = Columns::new();
    for (relation, column) in rows {
        catalog.entry(relation).or_default().insert(column);
    }
    assert_eq!(documented(&document("SQL.md")), catalog);
}

#[tokio::test]
async fn every_function_that_a_role_may_call_is_documented() {
    let f = fixture().await;
    let text = document("SQL.md");
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pgdumpd'::regnamespace
         AND (has_function_privilege($1, oid, 'EXECUTE') OR proname LIKE 'grant%')",
    )
    .bind(&f.daemon.name)
    .fetch_all(&f.admin)
    .await
    .unwrap();
    assert!(functions.len() >= 8, "{functions:?}");
    for function in functions {
        assert!(
            text.contains(&format!("`{function}(")),
            "{function} is not in SQL.md"
        );
    }
}

#[test]
fn every_statement_that_the_states_name_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queue/sql");
    let files: BTreeSet<String> = quoted(&document("STATES.md"))
        .filter(|word| word.ends_with(".sql"))
        .collect();
    assert!(files.len() >= 9, "{files:?}");
    for file in files {
        assert!(folder.join(&file).exists(), "{file}");
    }
}

//! What monitoring reads of the queue: the views, and the queries of who runs no listener, as a reader.

use std::collections::BTreeMap;
use std::path::Path;

use pgdumpd::metrics::ALL;
use pgdumpd::migrate::{Grants, migrate};
use pgdumpd::queue::Outcome;
use pgdumpd_testkit::cluster;
use sqlx::{AssertSqlSafe, Column as _, Row as _, TypeInfo as _};

use crate::fixture::{Fixture, failure, fixture, qualified, success};
use crate::roles::worker;

/// The queries of the collector, by their metric.
fn collector() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/sql_exporter/pgdumpd.collector.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut queries = BTreeMap::new();
    for part in text.split("- metric_name: ").skip(1) {
        let (name, rest) = part.split_once('\n').unwrap();
        let (_, query) = rest.split_once("query: |\n").unwrap();
        queries.insert(name.to_owned(), query.to_owned());
    }
    queries
}

/// A served target whose last backup was good and verified, and whose next one failed; one that nobody serves any more; and a
/// name that somebody has asked for.
async fn filled() -> Fixture {
    let f = fixture().await;
    for target in ["app", "former"] {
        let job = f.running(target).await;
        let done = Outcome::Succeeded(Box::new(success()));
        f.queue.finish(&job.lease, &done).await.unwrap();
    }
    f.db.execute("UPDATE pgdumpd.backup_copies SET last_proved_at = stored_at + interval '1 hour' WHERE target = 'app'")
        .await;
    let job = f.running("app").await;
    f.queue
        .finish(&job.lease, &Outcome::Failed(failure(false)))
        .await
        .unwrap();
    f.running("app").await;
    f.enqueue("app", &[]).await;
    f.enqueue("invented", &[]).await;
    let settings = serde_json::json!({});
    f.queue
        .register(
            &worker(&f),
            &["app".to_owned(), "new".to_owned()],
            &[],
            &settings,
            false,
        )
        .await
        .unwrap();
    f
}

#[tokio::test]
async fn a_target_has_a_row_if_it_is_served_or_has_a_backup() {
    let f = filled().await;
    type Target = (String, i64, bool, Option<i64>, bool, bool, i64, i64);
    let targets: Vec<Target> = sqlx::query_as(
        "SELECT target, daemons, last_success_at IS NOT NULL, last_size_bytes, last_failure_at > last_success_at IS TRUE,
                last_proved_at > last_success_at IS TRUE, queued_jobs, running_jobs
         FROM pgdumpd.target_metrics ORDER BY target",
    )
    .fetch_all(&f.admin)
    .await
    .unwrap();
    let size = Some(success().size_bytes);
    let expected = [
        ("app", 1, true, size, true, true, 1, 1),
        ("former", 0, true, size, false, false, 0, 0),
        ("new", 1, false, None, false, false, 0, 0),
    ];
    let expected: Vec<Target> = expected
        .map(|(target, a, b, c, d, e, g, h)| (target.to_owned(), a, b, c, d, e, g, h))
        .into();
    assert_eq!(targets, expected);
}

#[tokio::test]
async fn a_reader_runs_every_query_of_the_collector_and_a_producer_none() {
    let f = filled().await;
    let reader = cluster().await.role("").await;
    let grants = Grants {
        readers: vec![reader.name.clone()],
        ..Grants::default()
    };
    migrate(&f.admin, &grants).await.unwrap();
    let pool = qualified(&f.db.url_as(&reader.name)).await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let queries = collector();
    assert!(queries.len() > 10, "{queries:#?}");
    for (name, query) in queries {
        let metric = ALL.iter().find(|metric| metric.name == name).unwrap();
        let rows = sqlx::query(AssertSqlSafe(query.clone()))
            .fetch_all(&pool)
            .await;
        let rows = rows.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!rows.is_empty(), "{name} has no row");
        for row in rows {
            let mut columns: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
            assert_eq!(columns.pop(), Some("value"), "{name}");
            assert_eq!(columns, metric.labels, "{name}");
            let value = row.columns().last().unwrap().type_info().name();
            assert!(["INT8", "FLOAT8"].contains(&value), "{name}: {value}");
            for label in 0..columns.len() {
                assert_ne!(row.get::<String, _>(label), "invented", "{name}");
            }
        }
        if !name.ends_with("_daemons") || name.contains("target") {
            let refused = sqlx::query(AssertSqlSafe(query)).fetch_all(&producer).await;
            let refused = refused.unwrap_err().into_database_error().unwrap();
            assert_eq!(
                refused.code().as_deref(),
                Some("42501"),
                "{name}: {refused}"
            );
        }
    }
}

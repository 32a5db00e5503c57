//! Input that cannot be: a clear error, and nothing lost.

use pgdumpd_client::{BackupRequest, JobState};
use uuid::Uuid;

use crate::harness::World;

const RUN_AT: &str = "run_at_is_in_the_years_2000_to_9999";

/// Inserts by plain SQL, as any language may; the server's refusal.
async fn refusal(world: &World, columns: &str, values: &str) -> String {
    let statement = format!("INSERT INTO pgdumpd.backup_jobs ({columns}) VALUES ({values})");
    let refused = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
        .execute(&world.pool)
        .await;
    let error = refused.expect_err(&statement);
    error.as_database_error().unwrap().message().to_owned()
}

async fn jobs(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_jobs")
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_job_of_an_unknown_target_stays_queued_and_status_says_that_nobody_serves_it() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    let lost = world.enqueue_request(BackupRequest::new("shpo")).await;
    let other = world.enqueue().await;
    world.succeeded(other).await;
    assert_eq!(world.status(lost).await.state, JobState::Queued);
    for arguments in [vec!["status"], vec!["status", &lost.to_string()]] {
        let said = world.say(&arguments).code(0);
        assert!(
            said.out.contains("no daemon serves target \"shpo\""),
            "{}",
            said.out
        );
    }
}

#[tokio::test]
async fn sql_refuses_what_cannot_be_and_names_it() {
    let world = World::new().await;
    let long = "x".repeat(17_000);
    let long_spec = format!(
        "'shop', '{{\"tables\": [{}]}}'",
        vec![format!("\"{}\"", "x".repeat(900)); 20].join(",")
    );
    for (columns, values, named) in [
        ("target, spec", "'shop', '{\"tabels\": []}'", "\"tabels\""),
        (
            "target, spec",
            "'shop', '{\"tables\": \"a\"}'",
            "\"tables\"",
        ),
        ("target, spec", "'shop', '{\"tables\": [1]}'", "\"tables\""),
        ("target, spec", "'shop', '{\"label\": 5}'", "\"label\""),
        ("target, spec", "'shop', '[]'", "spec_is_an_object"),
        ("target, spec", &long_spec, "spec_is_at_most_16_kb"),
        ("target, priority", "'shop', 0", "priority_is_1_to_5"),
        ("target, priority", "'shop', 6", "priority_is_1_to_5"),
        ("target, priority", "'shop', 70000", "smallint"),
        ("id, target", "'42', 'shop'", "uuid"),
        ("target", "E'sh\\nop'", "target_is_a_name"),
        ("target", "''", "target_is_a_name"),
        ("target", &format!("'{long}'"), "target_is_a_name"),
        ("target, run_at", "'shop', 'infinity'", RUN_AT),
        ("target, run_at", "'shop', '-infinity'", RUN_AT),
        ("target, run_at", "'shop', '1999-12-31 23:59:59+00'", RUN_AT),
        (
            "target, run_at",
            "'shop', '10000-01-01 00:00:00+00'",
            RUN_AT,
        ),
        // The last year of PostgreSQL's, which hardly any program's calendar reaches.
        ("target, run_at", "'shop', '294276-01-01'", RUN_AT),
        ("target, run_at", "'shop', 'tomorrowish'", "timestamp"),
        ("target, timeout", "'shop', '0'", "timeout_is_1_second"),
        (
            "target, timeout",
            "'shop', '-1 hour'",
            "timeout_is_1_second",
        ),
        (
            "target, timeout",
            "'shop', '100 years'",
            "timeout_is_1_second",
        ),
        (
            "target, max_attempts",
            "'shop', 0",
            "max_attempts_is_1_to_100",
        ),
        ("target, kind", "'shop', 'restore'", "kind_is_known"),
    ] {
        let message = refusal(&world, columns, values).await;
        assert!(message.contains(named), "{columns} {values}: {message}");
    }
    assert_eq!(jobs(&world).await, 0);
}

#[tokio::test]
async fn every_time_that_sql_takes_can_be_listed() {
    let world = World::new().await;
    for run_at in ["2000-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"] {
        let id: Uuid = sqlx::query_scalar(
            "INSERT INTO pgdumpd.backup_jobs (target, run_at) VALUES ('shop', $1::text::timestamptz) RETURNING id",
        )
        .bind(run_at)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        world.status(id).await;
    }
    world.say(&["status"]).code(0);
    let said = world.say(&["list", "--json"]).code(0);
    assert!(said.out.contains("9999-12-31"), "{}", said.out);
    let refused =
        sqlx::query("SELECT * FROM pgdumpd.enqueue_backup('shop', run_at => '280000-01-01')")
            .execute(&world.pool)
            .await
            .unwrap_err();
    let error = refused.into_database_error().unwrap();
    let error = error.downcast::<sqlx::postgres::PgDatabaseError>();
    assert_eq!(
        (error.code(), error.hint()),
        ("23514", Some("run_at is in the years 2000 to 9999."))
    );
}

#[tokio::test]
async fn the_command_line_refuses_what_cannot_be_and_names_it() {
    let world = World::new().await;
    for (arguments, code, named) in [
        (vec!["shop", "--priority", "9"], 2, "1..=5"),
        (vec!["shop", "--max-attempts", "0"], 2, "1..=100"),
        (vec!["shop", "--id", "42"], 2, "a UUID such as"),
        (vec!["shop", "--run-at", "soon"], 2, "2030-01-31T02:00:00Z"),
        (vec!["shop", "--timeout", "0s"], 1, "timeout"),
        (vec!["shop", "--timeout", "100years"], 1, "timeout"),
        (vec!["sh\nop"], 1, "target"),
        (vec![""], 1, "target"),
        (vec!["shop", "--table", ""], 1, "tables"),
    ] {
        let arguments = [vec!["enqueue"], arguments].concat();
        let said = world.say(&arguments).code(code);
        assert!(said.err.contains(named), "{arguments:?}: {}", said.err);
    }
    assert_eq!(jobs(&world).await, 0);
}

#[tokio::test]
async fn a_malformed_spec_that_got_past_sql_fails_at_once_naming_the_key() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    for (spec, named) in [
        ("{\"tabels\": []}", "tabels"),
        ("{\"tables\": [5]}", "string"),
    ] {
        let id = Uuid::new_v4();
        // As a superuser who restores rows may: no trigger looks at them.
        let mut transaction = world.pool.begin().await.unwrap();
        sqlx::query("SET LOCAL session_replication_role = replica")
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query("INSERT INTO pgdumpd.backup_jobs (id, target, spec) VALUES ($1, 'shop', $2::text::jsonb)")
            .bind(id)
            .bind(spec)
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let status = world.failed(id).await;
        assert_eq!(status.attempt, 1, "{status:#?}");
        assert_eq!(status.error_code.as_deref(), Some("spec_invalid"));
        let error = status.error.unwrap();
        assert!(error.contains(named), "{error}");
    }
    // The daemon is none the worse for it.
    let id = world.enqueue().await;
    world.succeeded(id).await;
}

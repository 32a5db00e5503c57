//! What is asked of a large queue reads what is shown, not what is there. Counted in blocks of 8 KiB, which do not depend
//! on how busy the machine is.

use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::fixture::{Fixture, fixture, qualified};
use crate::quotas::count_of_kept;

const ENDED: i64 = 20_000;
const DUE: i64 = 2_000;

/// A queue with many rows, and roles that read it.
struct Volume {
    f: Fixture,
    daemon: PgPool,
    producer: PgPool,
}

/// 20,000 ended jobs of 100 targets, 2,000 due ones of a target that no daemon serves, 2,000 of later.
async fn volume() -> Volume {
    let f = fixture().await;
    let mut admin = f.db.connect().await;
    let fill = format!(
        "SET search_path = pg_catalog;
         SET session_replication_role = replica;
         INSERT INTO pgdumpd.workers (id, host, pid, version, targets, spec_versions, max_jobs, lease)
         SELECT gen_random_uuid(), 'host', 1, 'test', array_agg('target-' || i::text), '{{1}}', 2, interval '1 day' FROM generate_series(0, 99) AS i;
         INSERT INTO pgdumpd.backup_jobs (target, created_at, state, attempt, lease_token, started_at, finished_at, progress, size_bytes, sha256)
         SELECT 'target-' || (i % 100)::text, at, 'succeeded', 1, gen_random_uuid(), at, at, 100, 1, repeat('ab', 32)
         FROM generate_series(1, {ENDED}) AS i, LATERAL (SELECT now() - ({ENDED} - i) * interval '1 minute' AS at) AS t;
         INSERT INTO pgdumpd.backup_jobs (target) SELECT 'backlog' FROM generate_series(1, {DUE}) AS i;
         INSERT INTO pgdumpd.backup_jobs (target, run_at) SELECT 'target-' || (i % 100)::text, now() + interval '1 day' FROM generate_series(1, {DUE}) AS i;
         VACUUM (ANALYZE) pgdumpd.backup_jobs"
    );
    for statement in fill.split(';') {
        let statement = AssertSqlSafe(statement.to_owned());
        admin.execute(sqlx::raw_sql(statement)).await.unwrap();
    }
    admin.close().await.unwrap();
    let daemon = qualified(&f.db.url_as(&f.daemon.name)).await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    Volume {
        f,
        daemon,
        producer,
    }
}

/// How many blocks a statement reads, from the cache or not, and how many rows it returns.
async fn cost(pool: &PgPool, sql: &str) -> (i64, i64) {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .fetch_one(pool)
        .await
        .unwrap();
    let plan = &plan[0]["Plan"];
    let number = |name: &str| plan[name].as_f64().unwrap_or_default() as i64;
    (
        number("Shared Hit Blocks") + number("Shared Read Blocks"),
        number("Actual Rows"),
    )
}

impl Volume {
    /// As the owner.
    async fn run(&self, sql: &str) {
        let statement = AssertSqlSafe(sql.to_owned());
        self.f
            .admin
            .execute(sqlx::raw_sql(statement))
            .await
            .unwrap();
    }
}

async fn assert_cheap(pool: &PgPool, sql: &str, rows: i64, at_most: i64) {
    let (blocks, returned) = cost(pool, sql).await;
    assert_eq!(returned, rows, "{sql}");
    assert!(blocks <= at_most, "{blocks} blocks, not {at_most}: {sql}");
}

#[tokio::test]
async fn the_newest_jobs_are_read_without_the_older_ones() {
    let v = volume().await;
    let newest = "SELECT * FROM pgdumpd.backup_status ORDER BY created_at DESC, id DESC LIMIT 50";
    assert_cheap(&v.daemon, newest, 50, 3_000).await;
    let newest =
        "SELECT id, state FROM pgdumpd.backup_status ORDER BY created_at DESC, id DESC LIMIT 50";
    assert_cheap(&v.daemon, newest, 50, 200).await;
    let of_a_target = "SELECT id, state FROM pgdumpd.backup_status WHERE target = 'target-7' ORDER BY created_at DESC, id DESC LIMIT 10";
    assert_cheap(&v.daemon, of_a_target, 10, 200).await;
    // A role that has asked for nothing among thousands of others' jobs.
    assert_cheap(&v.producer, newest, 0, 200).await;
    assert_cheap(
        &v.producer,
        "SELECT count(*) FROM pgdumpd.backup_monitoring",
        1,
        200,
    )
    .await;
}

#[tokio::test]
async fn a_role_lists_its_jobs_of_a_target_and_those_that_failed_without_the_others() {
    let v = volume().await;
    // Half of all jobs are the role's, and half are of one target, where it has five; of what failed it has none.
    let shared = format!(
        "UPDATE pgdumpd.backup_jobs SET requested_by = '{0}' WHERE state = 'succeeded' AND right(target, 1) IN ('0', '2', '4', '6', '8');
         UPDATE pgdumpd.backup_jobs SET target = 'large' WHERE state = 'succeeded' AND right(target, 1) IN ('1', '3', '5', '7', '9');
         UPDATE pgdumpd.backup_jobs SET requested_by = '{0}'
         WHERE id IN (SELECT id FROM pgdumpd.backup_jobs WHERE target = 'large' ORDER BY created_at LIMIT 5);
         UPDATE pgdumpd.backup_jobs SET state = 'failed', progress = 50, size_bytes = NULL, sha256 = NULL, error_step = 'dump', error_code = 'dump_failed', error = 'x'
         WHERE target = 'large' AND requested_by <> '{0}'",
        v.f.producer.name
    );
    let mut admin = v.f.db.connect().await;
    admin
        .execute("SET session_replication_role = replica")
        .await
        .unwrap();
    for statement in shared.split(';') {
        let statement = AssertSqlSafe(statement.to_owned());
        admin.execute(sqlx::raw_sql(statement)).await.unwrap();
    }
    admin
        .execute("VACUUM (ANALYZE) pgdumpd.backup_jobs")
        .await
        .unwrap();
    let list = |which: &str| {
        format!(
            "SELECT id, state FROM pgdumpd.backup_status WHERE {which} ORDER BY created_at DESC, id DESC LIMIT 50"
        )
    };
    assert_cheap(&v.producer, &list("target = 'large'"), 5, 300).await;
    assert_cheap(&v.producer, &list("state = 'failed'"), 0, 300).await;
    // Nor does a role that sees all of them read the whole target: PostgreSQL 18 could skip from role to role.
    let as_commands = [("random_page_cost", "1.1")];
    let options: PgConnectOptions = v.f.db.url_as(&v.f.daemon.name).parse().unwrap();
    let daemon = PgPool::connect_lazy_with(options.options(as_commands));
    assert_cheap(&daemon, &list("target = 'large'"), 50, 300).await;
    assert_cheap(
        &v.producer,
        &list("target = 'large' AND kind = 'backup'"),
        5,
        300,
    )
    .await;
}

#[tokio::test]
async fn columns_that_are_not_asked_for_cost_nothing() {
    let v = volume().await;
    let pages: i64 = sqlx::query_scalar(
        "SELECT relpages::bigint FROM pg_class WHERE oid = 'pgdumpd.backup_jobs'::regclass",
    )
    .fetch_one(&v.f.admin)
    .await
    .unwrap();
    for (sql, rows) in [
        (
            "SELECT target, max(finished_at) FROM pgdumpd.backup_status GROUP BY target",
            101,
        ),
        ("SELECT count(*) FROM pgdumpd.backup_status", 1),
        ("SELECT count(*) FROM pgdumpd.backup_monitoring", 1),
    ] {
        // Each row once, through an index in whose order the rows lie.
        assert_cheap(&v.daemon, sql, rows, 2 * (ENDED + 2 * DUE).max(pages)).await;
    }
    let waiting =
        "SELECT count(id) FROM pgdumpd.backup_status WHERE target = 'backlog' AND state = 'queued'";
    assert_cheap(&v.daemon, waiting, 1, 2_500).await;
}

#[tokio::test]
async fn a_position_is_counted_no_further_than_20() {
    let v = volume().await;
    let all =
        "SELECT queue_position FROM pgdumpd.backup_status WHERE target = 'backlog' ORDER BY 1";
    assert_cheap(&v.daemon, all, DUE, 20 * DUE).await;
    let positions: Vec<i64> = sqlx::query_scalar(all).fetch_all(&v.daemon).await.unwrap();
    let expected: Vec<i64> = (1..=DUE).map(|position| position.min(20)).collect();
    assert_eq!(positions, expected);

    // What comes first has a better priority; what is not due yet is not before anything.
    let better = v.f.enqueue("backlog", &[("priority", "1")]).await;
    let later =
        v.f.enqueue(
            "backlog",
            &[
                ("priority", "1"),
                ("run_at", "'2026-11-30'::timestamptz + interval '50 years'"),
            ],
        )
        .await;
    let first = "SELECT queue_position FROM pgdumpd.backup_status WHERE target = 'backlog' AND state = 'queued' ORDER BY 1 NULLS LAST LIMIT 2";
    let positions: Vec<i64> = sqlx::query_scalar(first)
        .fetch_all(&v.daemon)
        .await
        .unwrap();
    assert_eq!(positions, [1, 2]);
    let of = "SELECT queue_position FROM pgdumpd.backup_status WHERE id = $1";
    let position = async |id: Uuid| -> Option<i64> {
        sqlx::query_scalar(of)
            .bind(id)
            .fetch_one(&v.daemon)
            .await
            .unwrap()
    };
    assert_eq!(position(better).await, Some(1));
    assert_eq!(position(later).await, None);
}

#[tokio::test]
async fn why_jobs_wait_is_asked_once_for_all_of_them() {
    let v = volume().await;
    let all = "SELECT waits_because FROM pgdumpd.backup_status WHERE target = 'backlog'";
    assert_cheap(&v.daemon, all, DUE, 2_500).await;
    let said: Vec<String> = sqlx::query_scalar(all).fetch_all(&v.daemon).await.unwrap();
    assert!(
        said.iter()
            .all(|said| said == "no daemon serves target \"backlog\""),
        "{}",
        said[0]
    );
    let unserved = "SELECT id, target, since FROM pgdumpd.backup_monitoring WHERE unserved";
    assert_cheap(&v.daemon, unserved, DUE, 3_500).await;
    let shown = "SELECT * FROM pgdumpd.backup_monitoring LIMIT 10";
    assert_cheap(&v.daemon, shown, 10, 2_000).await;
}

#[tokio::test]
async fn the_last_success_of_each_target_is_found_without_the_others() {
    let v = volume().await;
    let last = "SELECT target, last_success_id, last_success_at FROM pgdumpd.target_status";
    assert_cheap(&v.daemon, last, 100, 2_000).await;
    assert_cheap(&v.producer, last, 0, 100).await;
    let same: bool = sqlx::query_scalar(
        "SELECT array_agg((target, last_success_at) ORDER BY target)
              = (SELECT array_agg((target, at) ORDER BY target)
                 FROM (SELECT target, max(finished_at) AS at FROM pgdumpd.backup_status WHERE state = 'succeeded' GROUP BY target) AS s)
         FROM pgdumpd.target_status",
    )
    .fetch_one(&v.daemon)
    .await
    .unwrap();
    assert!(same);
    v.run(&format!(
            "INSERT INTO pgdumpd.backup_jobs (target, requested_by, state, attempt, lease_token, finished_at, progress, size_bytes, sha256)
             VALUES ('target-3', '{}', 'succeeded', 1, gen_random_uuid(), now(), 100, 1, repeat('ab', 32))",
            v.f.producer.name
        ))
        .await;
    let mine: Vec<(String, bool)> = sqlx::query_as(
        "SELECT target, last_success_at = now() FROM pgdumpd.target_status WHERE last_success_id IS NOT NULL",
    )
    .fetch_all(&v.producer)
    .await
    .unwrap();
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].0, "target-3");
}

#[tokio::test]
async fn metrics_are_read_without_the_jobs_that_ended() {
    let v = volume().await;
    let targets = include_str!("../../src/queue/sql/target_metrics.sql");
    let targets = targets.split_once('\n').unwrap().1;
    // Four thousand jobs wait, which are counted; of 20,000 that ended, the last ones of 100 targets are read.
    assert_cheap(&v.daemon, targets, 100, 4_000).await;
    assert_cheap(&v.daemon, "SELECT * FROM pgdumpd.job_metrics", 4, 2_000).await;
}

#[tokio::test]
async fn a_view_shows_a_condition_of_a_users_own_no_row_of_another_role() {
    let v = volume().await;
    v.run(&format!(
        "CREATE SCHEMA own AUTHORIZATION {}",
        v.f.producer.name
    ))
    .await;
    // Says what it is shown, and costs nothing, so that a planner that may would ask it first.
    let mut producer = PgConnection::connect(&v.f.db.url_as(&v.f.producer.name))
        .await
        .unwrap();
    producer
        .execute("SET search_path = pg_catalog")
        .await
        .unwrap();
    producer
        .execute(
            "CREATE FUNCTION own.leak(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001
             AS $$ BEGIN RAISE EXCEPTION 'was shown %', $1; END $$",
        )
        .await
        .unwrap();
    for (view, columns) in [
        (
            "backup_status",
            [
                "target",
                "id",
                "requested_by",
                "worker_id",
                "lease_expires_at",
                "label",
                "copies",
            ]
            .as_slice(),
        ),
        (
            "backup_monitoring",
            &[
                "target",
                "id",
                "requested_by",
                "lease_expires_at",
                "since",
                "unserved",
            ],
        ),
        (
            "target_status",
            &["target", "last_success_id", "last_success_at"],
        ),
    ] {
        for column in columns {
            let sql = format!("SELECT count(*) FROM pgdumpd.{view} WHERE own.leak({column})");
            let seen: Result<i64, _> = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut producer)
                .await;
            assert_eq!(
                seen.map_err(|error| error.to_string()),
                Ok(0),
                "{view}.{column}"
            );
        }
    }
}

#[tokio::test]
async fn a_spec_version_that_nobody_knows_is_refused_and_claims_stay_quick() {
    let v = volume().await;
    let sql = "INSERT INTO pgdumpd.backup_jobs (target, spec_version) SELECT 'target-1', 2 FROM generate_series(1, 200000)";
    let error = sqlx::query(sql).execute(&v.producer).await.unwrap_err();
    let error = error.as_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("23514"));
    assert_eq!(error.message(), "spec_version 2 is not known");
    let due = include_str!("../../src/queue/sql/next_due.sql")
        .replace("$1", "'{target-1}'")
        .replace("$2", "'{1}'");
    assert_cheap(&v.daemon, &due, 1, 100).await;
}

#[tokio::test]
async fn many_jobs_of_one_role_cost_a_claim_nothing() {
    let v = volume().await;
    v.run(
        "INSERT INTO pgdumpd.backup_jobs (target, requested_by, run_at)
         SELECT 'target-1', 'many', now() - interval '1 day' FROM generate_series(1, 20000);
         INSERT INTO pgdumpd.backup_jobs (target, requested_by)
         SELECT 'target-1', 'role-' || i::text FROM generate_series(1, 20) AS i",
    )
    .await;
    v.run("VACUUM (ANALYZE) pgdumpd.backup_jobs").await;
    let queue = format!("'{}'", v.f.queue.id());
    let claim = include_str!("../../src/queue/sql/claim.sql")
        .replace("$1", "'{target-1,target-2}'::text[]")
        .replace("$2", "'{1}'")
        .replace("$3", "gen_random_uuid()")
        .replace("$4", "gen_random_uuid()")
        .replace("$5", "300::double precision")
        .replace("$6", "1")
        .replace("$7", &queue);
    // Some 25 probes for those who ask, each with its turn and the cancels.
    assert_cheap(&v.daemon, &claim, 1, 600).await;
}

#[tokio::test]
async fn attempts_that_left_nothing_are_not_looked_at_with_each_heartbeat() {
    let v = volume().await;
    let mut admin = v.f.db.connect().await;
    for statement in [
        "SET search_path = pg_catalog",
        "SET session_replication_role = replica",
        "INSERT INTO pgdumpd.backup_attempts (lease_token, job_id, attempt, worker_id, ended_at, outcome, error_code)
         SELECT gen_random_uuid(), id, 1, gen_random_uuid(), now(), 'failed', 'target_unreachable' FROM pgdumpd.backup_jobs WHERE state = 'succeeded'",
        "VACUUM (ANALYZE) pgdumpd.backup_attempts",
    ] {
        admin.execute(statement).await.unwrap();
    }
    let leftovers = include_str!("../../src/queue/sql/leftovers.sql")
        .replace("$1", "'{target-1,target-2}'")
        .replace("$2", "10")
        .replace("$3", "'{}'")
        .replace("$4", "'{local}'")
        .replace("$5", "'{NULL}'")
        .replace("$6", &format!("'{}'", v.f.queue.id()));
    assert_cheap(&v.daemon, &leftovers, 0, 20).await;
}

#[tokio::test]
async fn requests_to_cancel_that_were_obeyed_are_not_read_again() {
    let v = volume().await;
    let first: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM pgdumpd.backup_jobs WHERE target = 'backlog' ORDER BY id LIMIT 3",
    )
    .fetch_all(&v.f.admin)
    .await
    .unwrap();
    for id in &first[..2] {
        assert_eq!(v.f.cancel(*id).await, "cancelled");
    }
    // As if it had come between a claim and its end.
    sqlx::query("INSERT INTO pgdumpd.backup_cancels (job_id) VALUES ($1)")
        .bind(first[2])
        .execute(&v.f.admin)
        .await
        .unwrap();
    let open = "SELECT count(*) FROM pgdumpd.backup_cancels WHERE is_open";
    let count = async || -> i64 {
        sqlx::query_scalar(open)
            .fetch_one(&v.f.admin)
            .await
            .unwrap()
    };
    assert_eq!(count().await, 1);
    assert_eq!(v.f.queue.end_cancelled().await.unwrap(), 1);
    assert_eq!(
        (v.f.state(first[2]).await.as_str(), count().await),
        ("cancelled", 0)
    );

    // Many that were obeyed, beside many that are queued.
    v.run("INSERT INTO pgdumpd.backup_cancels (job_id, is_open) SELECT id, false FROM pgdumpd.backup_jobs WHERE state = 'succeeded'")
        .await;
    v.run("VACUUM (ANALYZE) pgdumpd.backup_cancels").await;
    let asked = "SELECT q.id FROM pgdumpd.backup_cancels AS c JOIN pgdumpd.backup_jobs AS q ON q.id = c.job_id
                 WHERE c.is_open AND q.state = 'queued' FOR NO KEY UPDATE OF q SKIP LOCKED";
    assert!(
        include_str!("../../src/queue/sql/reap_cancelled.sql")
            .contains("WHERE c.is_open AND q.state = 'queued'")
    );
    assert_cheap(&v.daemon, asked, 0, 20).await;
}

#[tokio::test]
async fn what_is_kept_is_found_without_what_was_deleted() {
    let v = volume().await;
    let storage = Uuid::from_u128(7);
    // All of one target.
    v.run("SET session_replication_role = replica; UPDATE pgdumpd.backup_jobs SET target = 'target-7' WHERE state = 'succeeded'; RESET session_replication_role")
        .await;
    v.run(
            "INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state, deleted_at)
             SELECT id, 'local', '00000000-0000-0000-0000-000000000007', id::text, 1, s.state, CASE s.state WHEN 'deleted' THEN now() END
             FROM pgdumpd.backup_jobs AS j, LATERAL (SELECT CASE WHEN j.created_at > now() - interval '13 minutes 30 seconds' THEN 'stored' ELSE 'deleted' END AS state) AS s
             WHERE j.state = 'succeeded'",
        )
        .await;
    v.run("VACUUM (ANALYZE) pgdumpd.backup_copies, pgdumpd.backup_jobs")
        .await;
    let queue_id = v.f.queue.id();
    let kept = include_str!("../../src/queue/sql/kept_backups.sql")
        .replace("$1", &format!("'{queue_id}'"))
        .replace("$2", "'target-7'")
        .replace("$3", &format!("'{storage}'"))
        // How many roles the tests' server has is no concern of this one.
        .replace(
            "FROM pg_catalog.pg_roles AS r",
            "FROM (SELECT * FROM pg_catalog.pg_roles LIMIT 1) AS r",
        );
    assert_cheap(&v.daemon, &kept, 14, 300).await;
    assert_eq!(
        v.f.queue
            .kept_backups("target-7", storage)
            .await
            .unwrap()
            .len(),
        14
    );
    let known = include_str!("../../src/queue/sql/storages_known.sql");
    assert_cheap(&v.daemon, known, 1, 100).await;
    let row = sqlx::raw_sql(AssertSqlSafe(known))
        .fetch_one(&v.daemon)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>("backups"), 14);
}

#[tokio::test]
async fn what_a_role_keeps_is_counted_no_further_than_its_quota() {
    let v = volume().await;
    let producer = &v.f.producer.name;
    v.run(
        "INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state)
         SELECT id, 'local', '00000000-0000-0000-0000-000000000007', id::text, 1, 'stored' FROM pgdumpd.backup_jobs WHERE state = 'succeeded'",
    )
    .await;
    v.run(&format!(
        "UPDATE pgdumpd.backup_copies SET requested_by = '{producer}';
         UPDATE pgdumpd.backup_copies SET requested_by = 'few'
         WHERE job_id IN (SELECT job_id FROM pgdumpd.backup_copies LIMIT 10)"
    ))
    .await;
    v.run("VACUUM (ANALYZE) pgdumpd.backup_copies").await;
    // As the trigger has it: the settings of its function, and a plan that knows neither role nor quota.
    let owner: PgConnectOptions = v.f.db.url().parse().unwrap();
    let owner = owner.options([
        ("search_path", "pg_catalog"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_sort", "off"),
        ("enable_hashagg", "off"),
    ]);
    let owner = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(owner)
        .await
        .unwrap();
    let count = format!("PREPARE kept (text, integer) AS {}", count_of_kept());
    let count = AssertSqlSafe(count);
    owner.execute(sqlx::raw_sql(count)).await.unwrap();
    let of = |role: &str| format!("EXECUTE kept ('{role}', 1000)");
    assert_cheap(&owner, &of(producer), 1, 40).await;
    assert_cheap(&owner, &of("few"), 1, 10).await;
    let found = include_str!("../../src/queue/sql/kept_quotas.sql");
    assert_cheap(&v.daemon, found, 1, 80).await;
}

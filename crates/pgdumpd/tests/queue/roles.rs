//! Who may do what: every forbidden try is refused, and what is allowed works.

use pgdumpd::migrate::{Grants, migrate};
use pgdumpd_testkit::{Role, cluster};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use uuid::Uuid;

use crate::fixture::{Fixture, fixture};

/// What a producer may write as it inserts.
const PRODUCER_COLUMNS: &[&str] = &[
    "id",
    "kind",
    "target",
    "spec",
    "spec_version",
    "priority",
    "run_at",
    "idempotency_key",
    "max_attempts",
    "timeout",
    "metadata",
    "trace_parent",
];
/// What a producer may read of the table itself.
const READABLE_COLUMNS: &[&str] = &["id", "target", "idempotency_key", "requested_by"];
const INSUFFICIENT_PRIVILEGE: &str = "42501";

async fn login(f: &Fixture, role: &Role) -> PgPool {
    PgPool::connect(&f.db.url_as(&role.name)).await.unwrap()
}

async fn code(pool: &PgPool, sql: &str) -> Option<String> {
    let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await;
    let error = result.err()?;
    let error = error
        .as_database_error()
        .unwrap_or_else(|| panic!("{sql}: {error}"));
    Some(error.code().unwrap().into_owned())
}

async fn refused(pool: &PgPool, sql: &str) {
    assert_eq!(
        code(pool, sql).await.as_deref(),
        Some(INSUFFICIENT_PRIVILEGE),
        "{sql}"
    );
}

async fn allowed(pool: &PgPool, sql: &str) {
    assert_eq!(code(pool, sql).await, None, "{sql}");
}

async fn text(pool: &PgPool, sql: &str) -> String {
    let result = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await;
    result.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The schema's relations of these kinds (`r` table, `v` view).
async fn relations(f: &Fixture, kind: &str) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'pgdumpd'::regnamespace AND relkind::text = $1";
    sqlx::query_scalar(sql)
        .bind(kind)
        .fetch_all(&f.admin)
        .await
        .unwrap()
}

async fn columns(f: &Fixture, relation: &str) -> Vec<(String, String)> {
    let sql = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
               WHERE attrelid = ('pgdumpd.' || $1)::regclass AND attnum > 0 AND NOT attisdropped";
    sqlx::query_as(sql)
        .bind(relation)
        .fetch_all(&f.admin)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_producer_is_refused_every_write_and_read_that_is_not_its_own() {
    let f = fixture().await;
    let pool = login(&f, &f.producer).await;
    allowed(
        &pool,
        "INSERT INTO pgdumpd.backup_jobs (target) VALUES ('app')",
    )
    .await;
    let before = f.everything().await;
    for (column, kind) in columns(&f, "backup_jobs").await {
        if !PRODUCER_COLUMNS.contains(&column.as_str()) {
            let insert = format!(
                "INSERT INTO pgdumpd.backup_jobs (target, {column}) VALUES ('x', NULL::{kind})"
            );
            refused(&pool, &insert).await;
        }
        refused(
            &pool,
            &format!("UPDATE pgdumpd.backup_jobs SET {column} = NULL"),
        )
        .await;
        if !READABLE_COLUMNS.contains(&column.as_str()) {
            refused(&pool, &format!("SELECT {column} FROM pgdumpd.backup_jobs")).await;
        }
    }
    for relation in relations(&f, "r").await {
        if relation != "backup_jobs" {
            refused(
                &pool,
                &format!("INSERT INTO pgdumpd.{relation} DEFAULT VALUES"),
            )
            .await;
            let (column, kind) = columns(&f, &relation).await.remove(0);
            refused(
                &pool,
                &format!("UPDATE pgdumpd.{relation} SET {column} = NULL::{kind}"),
            )
            .await;
        }
        refused(&pool, &format!("SELECT * FROM pgdumpd.{relation}")).await;
        refused(&pool, &format!("DELETE FROM pgdumpd.{relation}")).await;
        refused(&pool, &format!("TRUNCATE pgdumpd.{relation} CASCADE")).await;
        refused(
            &pool,
            &format!("DO $$ BEGIN LOCK TABLE pgdumpd.{relation} IN SHARE MODE; END $$"),
        )
        .await;
        refused(
            &pool,
            &format!("ALTER TABLE pgdumpd.{relation} ADD COLUMN mine int"),
        )
        .await;
    }
    for sql in [
        "SELECT id FROM pgdumpd.backup_jobs FOR UPDATE",
        "SELECT id FROM pgdumpd.backup_jobs FOR KEY SHARE",
        "INSERT INTO pgdumpd.backup_jobs (target, state) VALUES ('x', 'succeeded')",
        "INSERT INTO pgdumpd.backup_jobs (target, requested_by) VALUES ('x', 'postgres')",
        "INSERT INTO pgdumpd.backup_jobs (target, idempotency_key) VALUES ('app', 'k') ON CONFLICT (requested_by, target, idempotency_key) DO UPDATE SET target = 'y'",
        "DELETE FROM pgdumpd.daemon_status",
        "CREATE TABLE pgdumpd.mine ()",
        "CREATE FUNCTION pgdumpd.mine() RETURNS void LANGUAGE sql AS ''",
        "CREATE TRIGGER mine BEFORE INSERT ON pgdumpd.backup_jobs FOR EACH ROW EXECUTE FUNCTION pgdumpd.check_spec()",
        "SELECT pgdumpd.operate_on_all_jobs()",
        "SELECT pgdumpd.hint('pgdumpd_jobs')",
        "SELECT pgdumpd.grant_daemon(current_user::name)",
        "SELECT pgdumpd.grant_producer(current_user::name)",
        "SELECT pgdumpd.grant_reader(current_user::name)",
        "SELECT pgdumpd.grant_operator(current_user::name)",
        "SELECT pgdumpd.add_to_policy('readers_see_all_rows', 'SELECT', current_user::name)",
        "SELECT pgdumpd.require_role(current_user::name)",
    ] {
        refused(&pool, sql).await;
    }
    assert_eq!(f.everything().await, before);
}

#[tokio::test]
async fn nobody_may_do_anything_by_being_in_public() {
    let f = fixture().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT p.proname::text FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
         WHERE p.pronamespace = 'pgdumpd'::regnamespace AND a.grantee = 0
         UNION ALL
         SELECT c.relname::text FROM pg_class AS c, aclexplode(c.relacl) AS a
         WHERE c.relnamespace = 'pgdumpd'::regnamespace AND a.grantee = 0",
    )
    .fetch_all(&f.admin)
    .await
    .unwrap();
    assert_eq!(open, [""; 0]);
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pgdumpd'::regnamespace
         AND NOT coalesce(proconfig::text LIKE '%search_path=pg_catalog, pg_temp%', false)",
    )
    .fetch_all(&f.admin)
    .await
    .unwrap();
    assert_eq!(loose, [""; 0], "each function has a fixed search_path");
}

#[tokio::test]
async fn what_a_producer_may_do_works() {
    let f = fixture().await;
    let pool = login(&f, &f.producer).await;
    let id = Uuid::now_v7();
    let full = format!(
        "INSERT INTO pgdumpd.backup_jobs (id, kind, target, spec, spec_version, priority, run_at, idempotency_key, max_attempts, timeout)
         VALUES ('{id}', 'backup', 'app', '{{\"schemas\": [\"public\"]}}', 1, 2, now(), 'k', 5, '1 hour') RETURNING id::text"
    );
    assert_eq!(text(&pool, &full).await, id.to_string());
    allowed(&pool, "INSERT INTO pgdumpd.backup_jobs (target, idempotency_key) VALUES ('app', 'k') ON CONFLICT (requested_by, target, idempotency_key) DO NOTHING").await;
    let again = "SELECT job_id::text || ' ' || is_new::text FROM pgdumpd.enqueue_backup('app', idempotency_key => 'k')";
    assert_eq!(text(&pool, again).await, format!("{id} false"));
    let same_id = format!(
        "SELECT job_id::text || ' ' || is_new::text FROM pgdumpd.enqueue_backup('app', id => '{id}')"
    );
    assert_eq!(text(&pool, &same_id).await, format!("{id} false"));
    let new = "SELECT is_new::text FROM pgdumpd.enqueue_backup('app')";
    assert_eq!(text(&pool, new).await, "true");
    let status = format!(
        "SELECT status || ' ' || requested_by FROM pgdumpd.backup_status WHERE id = '{id}'"
    );
    assert_eq!(
        text(&pool, &status).await,
        format!("in_progress {}", f.producer.name)
    );
    let waits = format!("SELECT waits_because FROM pgdumpd.backup_monitoring WHERE id = '{id}'");
    assert_eq!(text(&pool, &waits).await, "no daemon serves target \"app\"");
    allowed(&pool, "SELECT * FROM pgdumpd.daemon_status").await;
    assert_eq!(
        text(&pool, &format!("SELECT pgdumpd.cancel_backup('{id}')")).await,
        "cancelled"
    );
}

#[tokio::test]
async fn malformed_input_is_refused_as_it_is_inserted() {
    let f = fixture().await;
    let pool = login(&f, &f.producer).await;
    let check = Some("23514".to_owned());
    for (columns, values) in [
        ("target", "''"),
        ("target", "repeat('x', 201)"),
        ("target", "E'a\\nb'"),
        ("target, kind", "'a', 'wipe'"),
        ("target, priority", "'a', 0"),
        ("target, priority", "'a', 6"),
        ("target, max_attempts", "'a', 0"),
        ("target, timeout", "'a', '0 s'"),
        ("target, run_at", "'a', 'infinity'"),
        ("target, metadata", "'a', '[]'"),
        (
            "target, metadata",
            "'a', jsonb_build_object('text', repeat('x', 16384))",
        ),
        ("target, trace_parent", "'a', ''"),
        (
            "target, trace_parent",
            "'a', 'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
        ),
        (
            "target, trace_parent",
            "'a', '00-00000000000000000000000000000000-b7ad6b7169203331-01'",
        ),
        (
            "target, trace_parent",
            "'a', '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01'",
        ),
        (
            "target, trace_parent",
            "'a', '00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
        ),
        (
            "target, trace_parent",
            "'a', E'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\\n'",
        ),
        ("target, spec", "'a', '[]'"),
        ("target, spec", r#"'a', '{"dbname": "x"}'"#),
        ("target, spec", r#"'a', '{"tables": "x"}'"#),
        ("target, spec", r#"'a', '{"tables": [1]}'"#),
        ("target, spec", r#"'a', '{"tables": [""]}'"#),
        ("target, spec", r#"'a', '{"label": 1}'"#),
        (
            "target, spec",
            "'a', jsonb_build_object('tables', jsonb_build_array(repeat('*a', 17)))",
        ),
        (
            "target, spec",
            "'a', jsonb_build_object('schemas', jsonb_build_array(repeat('(a|b)+', 10)))",
        ),
        (
            "target, spec",
            "'a', jsonb_build_object('tables', to_jsonb(array_fill(repeat('x', 900), ARRAY[20])))",
        ),
    ] {
        let sql = format!("INSERT INTO pgdumpd.backup_jobs ({columns}) VALUES ({values})");
        assert_eq!(code(&pool, &sql).await, check, "{sql}");
    }
    assert_eq!(
        code(
            &pool,
            "INSERT INTO pgdumpd.backup_jobs (id, target) VALUES ('x', 'a')"
        )
        .await
        .as_deref(),
        Some("22P02")
    );
    assert_eq!(
        code(&pool, "SELECT pgdumpd.enqueue_backup('a', priority => 9)").await,
        check
    );
    assert_eq!(
        code(&pool, "SELECT pgdumpd.enqueue_backup(NULL)")
            .await
            .as_deref(),
        Some("23502")
    );
    assert!(f.everything().await.is_empty());
}

#[tokio::test]
async fn a_second_producer_can_neither_see_nor_cancel_the_first_ones_jobs() {
    let f = fixture().await;
    let other = cluster().await.role("").await;
    let grants = Grants {
        producers: vec![other.name.clone()],
        ..Grants::default()
    };
    migrate(&f.admin, &grants).await.unwrap();
    let (first, second) = (login(&f, &f.producer).await, login(&f, &other).await);
    let id = text(&first, "INSERT INTO pgdumpd.backup_jobs (target, idempotency_key) VALUES ('app', 'k') RETURNING id::text").await;
    for relation in ["backup_jobs", "backup_status", "backup_monitoring"] {
        let count = format!("SELECT count(*)::text FROM pgdumpd.{relation} WHERE id = '{id}'");
        let count = if relation == "backup_jobs" {
            count.replace("count(*)", "pg_catalog.count(id)")
        } else {
            count
        };
        assert_eq!(text(&first, &count).await, "1", "{relation}");
        assert_eq!(text(&second, &count).await, "0", "{relation}");
    }
    assert_eq!(
        text(&second, &format!("SELECT pgdumpd.cancel_backup('{id}')")).await,
        "not_found"
    );
    assert_eq!(f.state(id.parse().unwrap()).await, "queued");
    // A key is its role's own.
    let own = "SELECT is_new::text FROM pgdumpd.enqueue_backup('app', idempotency_key => 'k')";
    assert_eq!(text(&second, own).await, "true");
    let steal = format!("SELECT pgdumpd.enqueue_backup('app', id => '{id}')");
    assert_eq!(
        code(&second, &steal).await.as_deref(),
        Some("23505"),
        "{steal}"
    );
    f.queue
        .register(
            &worker(&f),
            &["app".into()],
            &[],
            &serde_json::json!({}),
            false,
        )
        .await
        .unwrap();
    let daemons = "SELECT count(*) FILTER (WHERE targets IS NULL AND checks IS NULL)::text FROM pgdumpd.daemon_status";
    assert_eq!(
        text(&second, daemons).await,
        "1",
        "the daemons' targets are not shown"
    );
}

#[tokio::test]
async fn a_key_that_a_producer_took_first_takes_nothing_from_an_operator() {
    let f = fixture().await;
    let (producer, operator) = (login(&f, &f.producer).await, login(&f, &f.daemon).await);
    let squat = "INSERT INTO pgdumpd.backup_jobs (target, idempotency_key, run_at) VALUES ('app', 'nightly 2026-11-28', '9999-01-01')";
    allowed(&producer, squat).await;
    let nightly = "SELECT job_id::text || ' ' || is_new::text FROM pgdumpd.enqueue_backup('app', idempotency_key => 'nightly 2026-11-28')";
    let first = text(&operator, nightly).await;
    let (id, is_new) = first.split_once(' ').unwrap();
    assert_eq!(is_new, "true");
    let job = f.claim(&["app"]).await.expect("it is due");
    assert_eq!(job.lease.job.to_string(), id);
    assert_eq!(text(&operator, nightly).await, format!("{id} false"));
    let insert = "INSERT INTO pgdumpd.backup_jobs (target, idempotency_key) VALUES ('app', 'nightly 2026-11-28')";
    let again = format!("{insert} ON CONFLICT (requested_by, target, idempotency_key) DO NOTHING");
    allowed(&producer, &again).await;
    assert_eq!(code(&producer, insert).await.as_deref(), Some("23505"));
}

#[tokio::test]
async fn an_operators_rights_are_also_those_of_the_role_that_set_role_took() {
    let f = fixture().await;
    let (operators, person) = (
        cluster().await.role("").await,
        cluster().await.role("NOINHERIT").await,
    );
    let grants = Grants {
        operators: vec![operators.name.clone()],
        ..Grants::default()
    };
    migrate(&f.admin, &grants).await.unwrap();
    f.db.execute(&format!("GRANT {} TO {}", operators.name, person.name))
        .await;
    let id = f.enqueue("app", &[]).await;
    let mut session = login(&f, &person).await.acquire().await.unwrap();
    let set = format!("SET ROLE {}", operators.name);
    sqlx::raw_sql(AssertSqlSafe(set))
        .execute(&mut *session)
        .await
        .unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_status")
        .fetch_one(&mut *session)
        .await
        .unwrap();
    assert_eq!(seen, 1);
    let said: String = sqlx::query_scalar("SELECT pgdumpd.cancel_backup($1)")
        .bind(id)
        .fetch_one(&mut *session)
        .await
        .unwrap();
    assert_eq!(said, "cancelled");
}

#[tokio::test]
async fn a_reader_sees_everything_and_changes_nothing() {
    let f = fixture().await;
    let reader = cluster().await.role("").await;
    let grants = Grants {
        readers: vec![reader.name.clone()],
        ..Grants::default()
    };
    migrate(&f.admin, &grants).await.unwrap();
    let pool = login(&f, &reader).await;
    let producer = login(&f, &f.producer).await;
    let id = text(
        &producer,
        "INSERT INTO pgdumpd.backup_jobs (target) VALUES ('app') RETURNING id::text",
    )
    .await;
    for view in relations(&f, "v").await {
        allowed(&pool, &format!("SELECT * FROM pgdumpd.{view}")).await;
    }
    for table in relations(&f, "r").await {
        allowed(&pool, &format!("SELECT * FROM pgdumpd.{table}")).await;
        let (column, kind) = columns(&f, &table).await.remove(0);
        refused(
            &pool,
            &format!("UPDATE pgdumpd.{table} SET {column} = NULL::{kind}"),
        )
        .await;
        refused(&pool, &format!("DELETE FROM pgdumpd.{table}")).await;
        refused(
            &pool,
            &format!("INSERT INTO pgdumpd.{table} DEFAULT VALUES"),
        )
        .await;
    }
    for relation in ["backup_jobs", "backup_status", "backup_monitoring"] {
        let count = format!("SELECT count(*)::text FROM pgdumpd.{relation} WHERE id = '{id}'");
        assert_eq!(text(&pool, &count).await, "1", "{relation}");
    }
    refused(&pool, &format!("SELECT pgdumpd.cancel_backup('{id}')")).await;
    refused(&pool, "SELECT pgdumpd.enqueue_backup('app')").await;
    refused(&pool, "SELECT id FROM pgdumpd.backup_jobs FOR UPDATE").await;
}

/// How many jobs the role sees, in the table and in the view; none where it may not look.
async fn sees(pool: &PgPool) -> [Option<i64>; 2] {
    let mut seen = [None; 2];
    for (seen, sql) in seen.iter_mut().zip([
        "SELECT pg_catalog.count(id) FROM pgdumpd.backup_jobs",
        "SELECT pg_catalog.count(id) FROM pgdumpd.backup_status",
    ]) {
        *seen = sqlx::query_scalar(sql).fetch_one(pool).await.ok();
    }
    seen
}

#[tokio::test]
async fn rights_are_taken_back_and_a_lesser_grant_takes_what_it_has_not() {
    let f = fixture().await;
    for _ in 0..3 {
        f.enqueue("app", &[]).await;
    }
    let role = cluster().await.role("").await;
    let pool = login(&f, &role).await;
    let call = async |function: &str| {
        let sql = format!("SELECT pgdumpd.{function}('{}')", role.name);
        sqlx::query(AssertSqlSafe(sql))
            .execute(&f.admin)
            .await
            .unwrap();
    };
    for (function, seen, may_enqueue) in [
        ("grant_operator", [Some(3); 2], true),
        ("grant_producer", [Some(0); 2], true),
        ("grant_daemon", [Some(3); 2], true),
        ("grant_reader", [Some(3); 2], false),
        ("revoke_role", [None; 2], false),
        ("revoke_role", [None; 2], false),
        ("grant_producer", [Some(0); 2], true),
    ] {
        call(function).await;
        assert_eq!(sees(&pool).await, seen, "{function}");
        // Whoever may call it is refused for another reason.
        let refused = code(&pool, "SELECT pgdumpd.enqueue_backup('')").await;
        let may_not = refused.as_deref() == Some(INSUFFICIENT_PRIVILEGE);
        assert_eq!(may_not, !may_enqueue, "{function}: {refused:?}");
    }
    // Other roles keep theirs.
    assert!(f.claim(&["app"]).await.is_some());
    let producer = login(&f, &f.producer).await;
    allowed(&producer, "SELECT pgdumpd.enqueue_backup('app')").await;
}

#[tokio::test]
async fn the_owner_is_given_nothing_and_loses_nothing() {
    let f = fixture().await;
    let owner = cluster().await.role("").await;
    let take = format!(
        "ALTER SCHEMA pgdumpd OWNER TO {0};
         DO $$ DECLARE it record; BEGIN
             FOR it IN SELECT p.oid::regprocedure AS f FROM pg_proc AS p WHERE p.pronamespace = 'pgdumpd'::regnamespace LOOP
                 EXECUTE format('ALTER FUNCTION %s OWNER TO {0}', it.f);
             END LOOP;
             FOR it IN SELECT c.oid::regclass AS f FROM pg_class AS c
                       WHERE c.relnamespace = 'pgdumpd'::regnamespace AND c.relkind IN ('r', 'v') LOOP
                 EXECUTE format('ALTER TABLE %s OWNER TO {0}', it.f);
             END LOOP;
         END $$",
        owner.name
    );
    f.db.execute(&take).await;
    let owners = login(&f, &owner).await;
    for pool in [&owners, &f.admin] {
        for function in ["producer", "reader", "operator", "daemon"] {
            let sql = format!("SELECT pgdumpd.grant_{function}('{}')", owner.name);
            allowed(pool, &sql).await;
        }
        let sql = format!("SELECT pgdumpd.revoke_role('{}')", owner.name);
        allowed(pool, &sql).await;
        allowed(&owners, "CREATE TABLE pgdumpd.more (id int)").await;
        allowed(&owners, "DROP TABLE pgdumpd.more").await;
    }
    let producer = login(&f, &f.producer).await;
    allowed(&producer, "SELECT pgdumpd.enqueue_backup('app')").await;
    allowed(&producer, "SELECT * FROM pgdumpd.backup_status").await;
}

#[tokio::test]
async fn to_grant_once_more_waits_for_no_transaction_that_has_enqueued() {
    let f = fixture().await;
    let producer = login(&f, &f.producer).await;
    let mut open = producer.begin().await.unwrap();
    sqlx::query("SELECT pgdumpd.enqueue_backup('app')")
        .execute(&mut *open)
        .await
        .unwrap();
    let mut admin = f.admin.acquire().await.unwrap();
    admin.execute("SET lock_timeout = '2s'").await.unwrap();
    for (function, role) in [("grant_daemon", &f.daemon), ("grant_producer", &f.producer)] {
        let sql = format!("SELECT pgdumpd.{function}('{}')", role.name);
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    open.rollback().await.unwrap();
}

#[tokio::test]
async fn an_operator_cancels_every_roles_jobs_and_forges_nothing() {
    let f = fixture().await;
    let operator = cluster().await.role("").await;
    let grants = Grants {
        operators: vec![operator.name.clone()],
        ..Grants::default()
    };
    migrate(&f.admin, &grants).await.unwrap();
    let (pool, producer) = (login(&f, &operator).await, login(&f, &f.producer).await);
    let id = text(
        &producer,
        "INSERT INTO pgdumpd.backup_jobs (target) VALUES ('app') RETURNING id::text",
    )
    .await;
    assert_eq!(
        text(&pool, &format!("SELECT pgdumpd.cancel_backup('{id}')")).await,
        "cancelled"
    );
    refused(&pool, "UPDATE pgdumpd.backup_jobs SET state = 'failed'").await;
    refused(&pool, "DELETE FROM pgdumpd.workers").await;
    refused(
        &pool,
        "INSERT INTO pgdumpd.backup_jobs (target, requested_by) VALUES ('x', 'postgres')",
    )
    .await;
}

#[tokio::test]
async fn a_daemon_writes_neither_what_was_asked_for_nor_by_whom() {
    let f = fixture().await;
    let pool = login(&f, &f.daemon).await;
    f.enqueue("app", &[]).await;
    for column in PRODUCER_COLUMNS
        .iter()
        .chain(&["requested_by", "created_at"])
    {
        // run_at is the daemon's too: it says when the next attempt is due.
        if *column != "run_at" {
            refused(
                &pool,
                &format!("UPDATE pgdumpd.backup_jobs SET {column} = NULL"),
            )
            .await;
        }
    }
    for table in relations(&f, "r").await {
        // Its own, and what it tells people.
        let own = [
            "workers",
            "schedules",
            "receivers",
            "notifications",
            "alerts",
        ];
        if !own.contains(&table.as_str()) {
            refused(&pool, &format!("DELETE FROM pgdumpd.{table}")).await;
        }
        refused(&pool, &format!("TRUNCATE pgdumpd.{table} CASCADE")).await;
    }
    refused(&pool, "UPDATE pgdumpd.schema_migrations SET name = 'x'").await;
    refused(
        &pool,
        "INSERT INTO pgdumpd.backup_cancels (job_id) SELECT id FROM pgdumpd.backup_jobs",
    )
    .await;
    refused(&pool, "SELECT pgdumpd.grant_daemon(current_user::name)").await;
}

#[tokio::test]
async fn daemons_are_seen_alive_and_forgotten() {
    let f = fixture().await;
    let worker = worker(&f);
    f.queue
        .register(&worker, &["app".into()], &[], &serde_json::json!({}), false)
        .await
        .unwrap();
    f.queue
        .record_checks(worker.id, &serde_json::json!({"queue": "ok"}))
        .await
        .unwrap();
    let live = f.queue.live_workers().await.unwrap();
    assert_eq!(
        (live.len(), live[0].id, &live[0].targets[..]),
        (1, worker.id, &["app".to_owned()][..])
    );
    let checks = "SELECT state || ' ' || (checks ->> 'queue') FROM pgdumpd.daemon_status";
    assert_eq!(text(&f.admin, checks).await, "alive ok");
    f.queue
        .register(&worker, &[], &[], &serde_json::json!({}), true)
        .await
        .unwrap();
    assert_eq!(
        text(&f.admin, "SELECT state FROM pgdumpd.daemon_status").await,
        "stopping"
    );
    assert_eq!(f.queue.prune_workers().await.unwrap(), 0);
    f.db.execute("UPDATE pgdumpd.workers SET last_seen_at = now() - interval '8 days'")
        .await;
    assert_eq!(
        text(&f.admin, "SELECT state FROM pgdumpd.daemon_status").await,
        "gone"
    );
    assert!(f.queue.live_workers().await.unwrap().is_empty());
    assert_eq!(f.queue.prune_workers().await.unwrap(), 1);
    f.queue
        .register(&worker, &[], &[], &serde_json::json!({}), true)
        .await
        .unwrap();
    f.queue.unregister(worker.id).await.unwrap();
    assert_eq!(
        text(&f.admin, "SELECT count(*)::text FROM pgdumpd.workers").await,
        "0"
    );
}

pub(crate) fn worker(f: &Fixture) -> pgdumpd::queue::Worker {
    pgdumpd::queue::Worker {
        id: f.worker,
        host: "host".into(),
        pid: 1,
        version: "0".into(),
        max_jobs: 1,
        max_copies: 1,
        lease: crate::fixture::LEASE,
    }
}

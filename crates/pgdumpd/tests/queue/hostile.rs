//! Roles that may create objects where a session might look for them, or that made the schema before the queue's owner:
//! none of their code runs.

use pgdumpd::migrate::{self, Grants, MigrateError};
use pgdumpd::queue::{Outcome, Queue};
use pgdumpd_testkit::{Database, Role, cluster, cluster_of, hostile_public};
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixture::{Fixture, LEASE, config, fixture, names, progress, success};

/// What in the schema `pgdumpd` was bound to something outside of it and of PostgreSQL's own.
async fn bound_outside(db: &Database) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ' uses ' ||
                pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
         FROM pg_depend AS d
         WHERE (d.refclassid = 'pg_proc'::regclass AND
                   (SELECT p.pronamespace = 'public'::regnamespace FROM pg_proc AS p WHERE p.oid = d.refobjid)
             OR d.refclassid = 'pg_operator'::regclass AND
                   (SELECT o.oprnamespace = 'public'::regnamespace FROM pg_operator AS o WHERE o.oid = d.refobjid))
           AND NOT (d.classid = 'pg_operator'::regclass AND
                   (SELECT o.oprnamespace = 'public'::regnamespace FROM pg_operator AS o WHERE o.oid = d.objid))",
    )
    .fetch_all(&db.pool().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn nothing_of_public_is_bound_by_a_migration() {
    let fixture = fixture().await;
    assert_eq!(bound_outside(&fixture.db).await, [""; 0]);
}

/// Claims and ends a job as this configuration connects.
async fn runs_a_job(fixture: &Fixture, queue: &Queue) {
    let id = fixture.enqueue("shop", &[]).await;
    let claimed = queue
        .claim(fixture.worker, &names(&["shop"]), LEASE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(claimed.lease.job, id);
    queue
        .heartbeat(&claimed.lease, LEASE, &progress(1.0))
        .await
        .unwrap();
    let success = Outcome::Succeeded(Box::new(success()));
    queue.finish(&claimed.lease, &success).await.unwrap();
}

#[tokio::test]
async fn a_session_calls_nothing_of_public_directly_or_behind_a_pooler() {
    let fixture = fixture().await;
    runs_a_job(&fixture, &fixture.queue).await;
    let mut pooled = config(&fixture.db.url_as(&fixture.daemon.name));
    pooled.pooled = true;
    let pooled = Queue::connect(&pooled).await.unwrap();
    runs_a_job(&fixture, &pooled).await;
}

#[tokio::test]
async fn a_role_with_nothing_but_connect_does_not_become_the_daemon_on_14() {
    // Before 15 every role may create functions in `public`.
    let Some(cluster) = cluster_of(14).await else {
        return;
    };
    let (db, mallory) = (cluster.database().await, cluster.role("").await);
    migrate::migrate(&db.pool().await, &Grants::default())
        .await
        .unwrap();
    let attack = PgPool::connect(&db.url_as(&mallory.name)).await.unwrap();
    for statement in [
        "CREATE FUNCTION public.unnest(a text[]) RETURNS SETOF text LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE 'ALTER ROLE ' || quote_ident(tg()) || ' SUPERUSER'; RETURN QUERY SELECT pg_catalog.unnest(a); END $$",
        &format!(
            "CREATE FUNCTION public.tg() RETURNS text LANGUAGE sql AS $$ SELECT '{}' $$",
            mallory.name
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&attack)
            .await
            .unwrap();
    }
    // As superuser, as the README's DATABASE_URL mode does.
    let queue = Queue::connect(&config(&db.url())).await.unwrap();
    let claimed = queue
        .claim(Uuid::new_v4(), &names(&["shop"]), LEASE)
        .await
        .unwrap();
    assert!(claimed.is_none());
    assert!(!is_superuser(&db, &mallory).await);
}

async fn is_superuser(db: &Database, role: &Role) -> bool {
    sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = $1")
        .bind(&role.name)
        .fetch_one(&db.pool().await)
        .await
        .unwrap()
}

/// Migrates as superuser, and asserts that it is refused, saying this, and that no migration is recorded.
async fn is_refused(db: &Database, said: &str) {
    let refused = migrate::migrate(&db.pool().await, &Grants::default()).await;
    let Err(error @ MigrateError::ForeignSchema { .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains(said), "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("role that made the queue"))
    );
}

#[tokio::test]
async fn a_schema_that_another_role_made_is_refused_and_its_code_does_not_run() {
    let cluster = cluster().await;
    let (db, owner) = (cluster.database().await, cluster.role("").await);
    let name = &owner.name;
    db.execute(&format!("CREATE SCHEMA pgdumpd AUTHORIZATION {name}"))
        .await;
    is_refused(&db, &format!("belongs to the role \"{name}\"")).await;
    db.execute(&format!(
        "SET ROLE {name};
         CREATE TABLE pgdumpd.schema_migrations(version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
             applied_at timestamptz NOT NULL DEFAULT clock_timestamp());
         CREATE FUNCTION pgdumpd.boom() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE 'ALTER ROLE {name} SUPERUSER'; RETURN new; END $$;
         CREATE TRIGGER boom BEFORE INSERT ON pgdumpd.schema_migrations FOR EACH ROW EXECUTE FUNCTION pgdumpd.boom();
         RESET ROLE"
    ))
    .await;
    is_refused(&db, &format!("belongs to the role \"{name}\"")).await;
    // Handed over, with what is in it still theirs.
    db.execute("ALTER SCHEMA pgdumpd OWNER TO CURRENT_USER")
        .await;
    is_refused(&db, "belongs to another role").await;
    assert!(!is_superuser(&db, &owner).await);
}

#[tokio::test]
async fn a_schema_in_which_others_may_create_is_refused() {
    let cluster = cluster().await;
    let (db, other) = (cluster.database().await, cluster.role("").await);
    db.execute(&format!(
        "CREATE SCHEMA pgdumpd; GRANT CREATE ON SCHEMA pgdumpd TO {}",
        other.name
    ))
    .await;
    is_refused(&db, &format!("{} may create", other.name)).await;
    // Also after it was migrated.
    let db = cluster.database().await;
    migrate::migrate(&db.pool().await, &Grants::default())
        .await
        .unwrap();
    db.execute("GRANT CREATE ON SCHEMA pgdumpd TO PUBLIC").await;
    is_refused(&db, "PUBLIC may create").await;
}

#[tokio::test]
async fn a_schema_of_that_name_that_is_not_a_queue_is_refused() {
    let db = cluster().await.database().await;
    db.execute("CREATE SCHEMA pgdumpd; CREATE TABLE pgdumpd.notes (a int)")
        .await;
    is_refused(&db, "no history of migrations").await;
}

#[tokio::test]
async fn a_view_in_the_place_of_the_history_is_not_read() {
    let db = cluster().await.database().await;
    hostile_public(&db).await;
    db.execute(
        "CREATE SCHEMA pgdumpd;
         CREATE VIEW pgdumpd.schema_migrations AS
             SELECT 1::bigint AS version, 'x' AS name, public.hostile('view')::text AS checksum",
    )
    .await;
    is_refused(&db, "no history of migrations").await;
}

//! A dump that waits for a lock too long is ended, in whatever phase, and says who was in its way.

use std::time::{Duration, Instant};

use crate::support::{SOON, drain, plan};
use pgdumpd::dump::PgDump;
use pgdumpd::fault::Fault;
use pgdumpd::server::Target;
use pgdumpd::server::guard::LockGuard;
use pgdumpd_client::BackupSpec;
use pgdumpd_testkit::{cluster, eventually};

const SCHEMA: &str = "CREATE TABLE t (id int); CREATE TABLE other (id int);
    CREATE VIEW v AS SELECT id FROM t; CREATE MATERIALIZED VIEW mv AS SELECT id FROM t;";

/// Holds `statement` in an open transaction, dumps, and lets the guard end it. Gives the blocker's pid too.
async fn dump_behind(statement: &'static str) -> (i32, Fault) {
    const LIMIT: Duration = Duration::from_millis(400);
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute(SCHEMA).await;
    let mut holder = db.connect().await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut holder)
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut holder).await.unwrap();

    let plan = plan(&cluster.bin_dir(), &db.url(), BackupSpec::default()).await;
    let target = Target::connect("t", plan.url()).await.unwrap();
    let mut guard = LockGuard::new(LIMIT);
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    let reader = drain(output);
    let fault = eventually("the guard ends the dump", SOON, async || {
        let look = target.look(plan.application_name()).await.unwrap();
        guard.observe(Instant::now(), &look)
    })
    .await;
    dump.terminate();
    assert!(
        target
            .sessions_gone(plan.application_name(), Duration::from_secs(2))
            .await,
        "the session outlives SIGTERM"
    );
    assert!(dump.stop(SOON).await.unwrap());
    assert_eq!(
        dump.wait().await.unwrap_err().code().as_str(),
        "dump_stopped"
    );
    reader.await.unwrap();
    assert_eq!(fault.code().as_str(), "lock_not_available");
    assert!(fault.is_transient());
    (pid, fault)
}

#[tokio::test]
async fn behind_an_open_refresh_of_a_materialized_view() {
    let (pid, fault) = dump_behind("REFRESH MATERIALIZED VIEW mv").await;
    let text = fault.to_string();
    assert!(text.contains("a lock on public.mv"), "{text}");
    let blocker =
        format!("pid {pid} (postgres, idle in transaction): REFRESH MATERIALIZED VIEW mv");
    assert!(text.contains(&blocker), "{text}");
}

#[tokio::test]
async fn behind_an_open_drop_of_a_view() {
    let (pid, fault) = dump_behind("DROP VIEW v").await;
    let text = fault.to_string();
    assert!(text.contains("a lock on public.v"), "{text}");
    assert!(text.contains(&format!("pid {pid} ")), "{text}");
    assert!(text.contains(": DROP VIEW v"), "{text}");
}

#[tokio::test]
async fn behind_an_open_alter_of_a_table() {
    let (pid, fault) = dump_behind("ALTER TABLE t ADD COLUMN x int").await;
    let text = fault.to_string();
    assert!(text.contains("a lock on public.t"), "{text}");
    assert!(text.contains(&format!("pid {pid} ")), "{text}");
    assert!(text.contains(": ALTER TABLE t ADD COLUMN x int"), "{text}");
}

#[tokio::test]
async fn a_session_that_a_killed_pg_dump_left_in_a_queue_for_a_lock_is_ended() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute(SCHEMA).await;
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let plan = plan(&cluster.bin_dir(), &db.url(), BackupSpec::default()).await;
    let target = Target::connect("t", plan.url()).await.unwrap();
    let (mut dump, _output) = PgDump::start(&plan).unwrap();
    eventually("it waits", SOON, async || {
        let look = target.look(plan.application_name()).await.unwrap();
        look.waiting_for_lock
    })
    .await;
    dump.kill();
    dump.wait().await.unwrap_err();
    assert!(
        !target
            .sessions_gone(plan.application_name(), Duration::from_millis(200))
            .await,
        "the server has not noticed"
    );
    let names = [
        "pgdumpd of nobody".to_owned(),
        plan.application_name().to_owned(),
    ];
    assert_eq!(target.end_sessions(&names, SOON).await.unwrap(), 1);
    assert_eq!(target.end_sessions(&names, SOON).await.unwrap(), 0);
    assert!(!target.look(plan.application_name()).await.unwrap().present);
}

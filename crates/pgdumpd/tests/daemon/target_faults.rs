//! A target that is away, refuses, or breaks off: a clear error in the row, and another try only where that
//! can help. Its password is nowhere.

use std::time::Duration;

use pgdumpd_client::{BackupRequest, Cancelled, JobState, JobStatus};
use pgdumpd_testkit::{Cluster, Database, Role, eventually, fill};
use rustix::process::{Signal, kill_process};
use sqlx::PgConnection;

use crate::harness::{Daemon, SOON, World, logged, quoted};

/// What a failure's row must say.
struct Says {
    step: &'static str,
    code: &'static str,
    texts: &'static [&'static str],
    hint: &'static str,
}

fn check(status: &JobStatus, says: &Says) {
    assert_eq!(status.error_step.as_deref(), Some(says.step), "{status:#?}");
    assert_eq!(status.error_code.as_deref(), Some(says.code), "{status:#?}");
    let error = status.error.as_deref().unwrap();
    for text in says.texts {
        assert!(error.contains(text), "{error}");
    }
    let hint = status.error_hint.as_deref().unwrap_or_default();
    assert!(hint.contains(says.hint), "{hint}");
    assert_eq!(status.attempt, 1);
}

/// Runs a job that must fail for good.
async fn fails_for_good(world: &World, says: Says) -> Daemon {
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.failed(id).await;
    check(&status, &says);
    world.assert_clean(0).await;
    shows_no_password(world, &daemon).await;
    daemon
}

/// Runs a job whose first attempt must fail, and which must be tried again.
async fn is_tried_again(world: &World, says: Says) -> (Daemon, uuid::Uuid) {
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.requeued(id).await;
    check(&status, &says);
    world.assert_clean(0).await;
    shows_no_password(world, &daemon).await;
    (daemon, id)
}

const MARKER: &str = "MarkerOfThePassword";

/// The marker password is in no row of the queue, no line of the log, no file of the storage.
async fn shows_no_password(world: &World, daemon: &Daemon) {
    assert!(!daemon.log().contains(MARKER));
    for table in [
        "backup_jobs",
        "backup_attempts",
        "backup_copies",
        "workers",
        "backup_status",
    ] {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT t::text FROM pgdumpd.{table} AS t"
        )))
        .fetch_all(&world.pool)
        .await
        .unwrap();
        assert!(
            !rows.iter().any(|row| row.contains(MARKER)),
            "{table}: {rows:#?}"
        );
    }
    for file in world.files() {
        let content = std::fs::read(world.storage().join(&file)).unwrap_or_default();
        let found = content
            .windows(MARKER.len())
            .any(|bytes| bytes == MARKER.as_bytes());
        assert!(!found, "{file}");
    }
}

/// A role of the marker's password that may read everything in `shop`.
async fn reader(world: &World) -> Role {
    let role = world.cluster.role("").await;
    let password = format!("{MARKER}-{}", &role.name);
    world
        .shop
        .execute(&format!(
            "ALTER ROLE {0} PASSWORD '{password}'; GRANT pg_read_all_data TO {0}",
            role.name
        ))
        .await;
    Role { password, ..role }
}

fn dump_as(world: &mut World, role: &Role) {
    let url = quoted(&world.shop.tcp_url(role));
    world.set("targets.shop", "url", url);
}

#[tokio::test]
async fn a_backup_over_tcp_with_a_password_shows_it_nowhere() {
    let mut world = World::new().await;
    world.shop.execute("CREATE TABLE t AS SELECT 1 AS id").await;
    let role = reader(&world).await;
    dump_as(&mut world, &role);
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    world.assert_clean(1).await;
    shows_no_password(&world, &daemon).await;
    let config = world.cli(&["config"]);
    assert!(config.status.success());
    assert!(!String::from_utf8_lossy(&config.stdout).contains(MARKER));
}

#[tokio::test]
async fn a_target_where_nobody_listens_is_tried_again() {
    let mut world = World::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let role = reader(&world).await;
    let url = quoted(&world.shop.url_on_port(&role, port));
    world.set("targets.shop", "url", url);
    let (daemon, _) = is_tried_again(
        &world,
        Says {
            step: "connect",
            code: "target_unreachable",
            texts: &["target shop: cannot connect to", "127.0.0.1"],
            hint: "Check that the server runs",
        },
    )
    .await;
    assert!(!daemon.log().contains("pg_dump started"));
}

#[tokio::test]
async fn a_wrong_password_fails_for_good() {
    let mut world = World::new().await;
    let mut role = reader(&world).await;
    role.password.push('x');
    dump_as(&mut world, &role);
    fails_for_good(
        &world,
        Says {
            step: "connect",
            code: "authentication_failed",
            texts: &["cannot connect to", "password authentication failed"],
            hint: "Check the target's user and password",
        },
    )
    .await;
}

#[tokio::test]
async fn a_database_that_does_not_exist_fails_for_good() {
    let mut world = World::new().await;
    let missing = Database::existing(world.cluster, "no_such_database");
    world.set("targets.shop", "url", quoted(&missing.url()));
    fails_for_good(
        &world,
        Says {
            step: "connect",
            code: "database_missing",
            texts: &["no_such_database"],
            hint: "Check the database's name",
        },
    )
    .await;
}

#[tokio::test]
async fn a_role_that_is_renamed_in_mid_dump_does_not_hold_up_a_cancel() {
    let mut world = World::new().await;
    fill(&world.shop, 60).await;
    let role = reader(&world).await;
    dump_as(&mut world, &role);
    world.set("targets.shop", "compression", quoted("gzip:9"));
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.dumping(id).await;
    let statements = format!(
        "ALTER ROLE {0} RENAME TO {0}_gone;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE usename = '{0}_gone' AND application_name = 'pgdumpd-watcher'",
        role.name
    );
    world.shop.execute(&statements).await;
    assert_eq!(world.cancel(id).await, Cancelled::Cancelling);
    let status = world.ended(id).await;
    assert_eq!(status.state, JobState::Cancelled, "{status:#?}");
    let took = world.cancel_took(id).await;
    assert!(took < 2.0, "{took} s");
    assert_eq!(daemon.pg_dumps(), []);
    assert_eq!(world.dump_sessions().await, Vec::<String>::new());
    assert!(
        logged(&daemon, "WARN", "pg_dump's session may remain"),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn a_table_without_the_privilege_to_read_it_fails_for_good() {
    let mut world = World::new().await;
    world.shop.execute("CREATE TABLE secret (id int)").await;
    let role = reader(&world).await;
    world
        .shop
        .execute(&format!("REVOKE pg_read_all_data FROM {}", role.name))
        .await;
    dump_as(&mut world, &role);
    fails_for_good(
        &world,
        Says {
            step: "dump",
            code: "permission_denied",
            texts: &["pg_dump ended with exit status: 1", "secret"],
            hint: "Grant the backup role",
        },
    )
    .await;
}

#[tokio::test]
async fn row_security_fails_for_good() {
    let mut world = World::new().await;
    world
        .shop
        .execute(
            "CREATE TABLE tenants (id int); INSERT INTO tenants VALUES (1);
             ALTER TABLE tenants ENABLE ROW LEVEL SECURITY",
        )
        .await;
    let role = reader(&world).await;
    dump_as(&mut world, &role);
    fails_for_good(
        &world,
        Says {
            step: "dump",
            code: "row_security",
            texts: &["tenants"],
            hint: "BYPASSRLS",
        },
    )
    .await;
}

/// A dump that meets a transaction which holds a lock, and does not end.
async fn meets_a_lock(objects: &str, holding: &str) {
    let mut world = World::new().await;
    world.shop.execute(objects).await;
    world.set("targets.shop", "lock_wait_timeout", quoted("500ms"));
    let (mut holder, pid) = holder(&world.shop, holding).await;
    let (_daemon, id) = is_tried_again(
        &world,
        Says {
            step: "dump",
            code: "lock_not_available",
            texts: &[
                "pg_dump waited",
                "for a lock on",
                "blocked by",
                "idle in transaction",
            ],
            hint: "lock_wait_timeout",
        },
    )
    .await;
    let error = world.status(id).await.error.unwrap();
    assert!(error.contains(&format!("pid {pid}")), "{error}");
    assert!(error.contains(holding), "{error}");
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
    world.assert_clean(1).await;
}

async fn holder(shop: &Database, holding: &str) -> (PgConnection, i32) {
    let mut holder = shop.connect().await;
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut holder)
        .await
        .unwrap();
    for statement in ["BEGIN", holding] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut holder)
            .await
            .unwrap();
    }
    (holder, pid)
}

#[tokio::test]
async fn a_lock_held_by_alter_table_names_its_holder_and_is_tried_again() {
    meets_a_lock(
        "CREATE TABLE held (id int)",
        "ALTER TABLE held ADD COLUMN more int",
    )
    .await;
}

#[tokio::test]
async fn a_lock_held_by_refresh_materialized_view_names_its_holder_and_is_tried_again() {
    meets_a_lock(
        "CREATE MATERIALIZED VIEW held AS SELECT 1 AS id",
        "REFRESH MATERIALIZED VIEW held",
    )
    .await;
}

#[tokio::test]
async fn a_lock_held_by_drop_view_names_its_holder_and_is_tried_again() {
    meets_a_lock(
        "CREATE VIEW held AS SELECT 1 AS id; CREATE TABLE t (id int)",
        "DROP VIEW held",
    )
    .await;
}

/// A role that may read everything, and a role that becomes it as soon as it is connected.
async fn switching(world: &mut World) -> Role {
    let (owner, role) = (world.cluster.role("").await, world.cluster.role("").await);
    world
        .shop
        .execute(&format!(
            "GRANT pg_read_all_data TO {owner}; GRANT {owner} TO {role}; ALTER ROLE {role} SET role = '{owner}'",
            owner = owner.name,
            role = role.name
        ))
        .await;
    let url = quoted(&world.shop.url_as(&role.name));
    world.set("targets.shop", "url", url);
    role
}

#[tokio::test]
async fn a_role_that_becomes_another_is_guarded_and_its_sessions_are_ended() {
    let mut world = World::new().await;
    world.shop.execute("CREATE TABLE held (id int)").await;
    let role = switching(&mut world).await;
    let said = world.say(&["check"]);
    assert!(
        said.out
            .contains(&format!("role \"{}\" becomes", role.name)),
        "{}",
        said.out
    );
    world.set("targets.shop", "lock_wait_timeout", quoted("500ms"));
    let (mut holder, pid) = holder(&world.shop, "ALTER TABLE held ADD COLUMN more int").await;
    let (daemon, id) = is_tried_again(
        &world,
        Says {
            step: "dump",
            code: "lock_not_available",
            texts: &["pg_dump waited", "for a lock on", "blocked by"],
            hint: "lock_wait_timeout",
        },
    )
    .await;
    let error = world.status(id).await.error.unwrap();
    assert!(error.contains(&format!("pid {pid}")), "{error}");
    daemon.stop().await;

    // A daemon that is killed leaves a dump that waits for the lock; the next one ends it.
    world.set("targets.shop", "lock_wait_timeout", quoted("1h"));
    let mut killed = world.daemon().await;
    world.make_due(id).await;
    let waits = async || {
        let waits: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgdumpd %' AND datname = current_database()
             AND wait_event_type = 'Lock'",
        )
        .fetch_all(&mut world.shop.connect().await)
        .await
        .unwrap();
        waits
    };
    let first = eventually("the dump waits", SOON, async || {
        waits().await.first().copied()
    })
    .await;
    let dumps = killed.pg_dumps();
    for dump in &dumps {
        // Or it would see that nobody reads.
        kill_process(*dump, Signal::STOP).unwrap();
    }
    killed.kill();
    let rescuer = world.daemon().await;
    eventually(
        "another dump waits, and the first does not",
        SOON,
        async || {
            let waits = waits().await;
            (waits.len() == 1 && waits[0] != first).then_some(())
        },
    )
    .await;
    for dump in dumps {
        let _ = kill_process(dump, Signal::KILL);
    }
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    world.succeeded(id).await;
    rescuer.stop().await;
}

#[tokio::test]
async fn a_password_in_the_blockers_statement_is_not_reported() {
    let mut world = World::new().await;
    world.shop.execute("CREATE TABLE held (id int)").await;
    let role = world.cluster.role("").await;
    world.set("targets.shop", "lock_wait_timeout", quoted("300ms"));
    let holding = format!(
        "LOCK TABLE held; ALTER ROLE {} PASSWORD '{MARKER}'",
        role.name
    );
    let (_holder, _) = holder(&world.shop, &holding).await;
    is_tried_again(
        &world,
        Says {
            step: "dump",
            code: "lock_not_available",
            texts: &["ALTER ROLE", "********"],
            hint: "lock_wait_timeout",
        },
    )
    .await;
}

/// A world whose dump, of some size, has begun to deliver.
async fn slow_world() -> World {
    let mut world = World::new().await;
    world.set("targets.shop", "compression", quoted("gzip:9"));
    world
}

#[tokio::test]
async fn a_dump_whose_session_is_terminated_is_tried_again() {
    let world = slow_world().await;
    fill(&world.shop, 60).await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.dumping(id).await;
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = $1 AND application_name LIKE 'pgdumpd %'",
    )
    .bind(world.shop.name())
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(ended, 1);
    let status = world.requeued(id).await;
    check(
        &status,
        &Says {
            step: "dump",
            code: "connection_lost",
            texts: &[
                "pg_dump ended with exit status: 1",
                // Its goodbye arrives only where the buffers have room for it.
                "from server",
            ],
            hint: "Check the server's log",
        },
    );
    world.assert_clean(0).await;
    assert_eq!(world.files(), Vec::<String>::new());
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
    world.assert_clean(1).await;
    drop(daemon);
}

#[tokio::test]
async fn a_server_that_crashes_in_mid_dump_is_waited_for() {
    let mut world = slow_world().await;
    let private = Cluster::start_private(&[]).await;
    let shop = private.database().await;
    fill(&shop, 60).await;
    world.set("targets.shop", "url", quoted(&shop.url()));
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.dumping(id).await;
    private.kill().await;
    let status = world.requeued(id).await;
    check(
        &status,
        &Says {
            step: "dump",
            code: "connection_lost",
            texts: &["pg_dump ended with exit status: 1"],
            hint: "Check the server's log",
        },
    );
    assert_eq!(world.files(), Vec::<String>::new());
    // Still down: told as such.
    world.make_due(id).await;
    let status = world
        .until(id, "the second attempt has ended", |status| {
            status.attempt == 2 && status.state == JobState::Queued
        })
        .await;
    assert_eq!(status.error_code.as_deref(), Some("target_unreachable"));
    assert_eq!(status.error_step.as_deref(), Some("connect"));
    private.start().await;
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 3);
    assert_eq!(world.backups().len(), 1);
}

#[tokio::test]
async fn a_cancel_works_while_the_target_does_not_answer() {
    let mut world = World::new().await;
    let proxy = pgdumpd_testkit::Proxy::start(world.cluster).await;
    let role = reader(&world).await;
    let url = quoted(&world.shop.url_on_port(&role, proxy.port()));
    world.set("targets.shop", "url", url);
    proxy.hold();
    let daemon = world.daemon().await;
    let id = world
        .enqueue_request(BackupRequest::new("shop").timeout(Duration::from_secs(60)))
        .await;
    world
        .until(id, "the job runs", |status| {
            status.state == JobState::Running
        })
        .await;
    world.cancel(id).await;
    let status = world.ended(id).await;
    assert_eq!(status.state, JobState::Cancelled, "{status:#?}");
    assert!(world.cancel_took(id).await < 2.0);
    eventually("nothing is left", SOON, async || {
        daemon.pg_dumps().is_empty().then_some(())
    })
    .await;
}

//! Tables that are replaced while a dump begins or runs: no success without their rows, and no refusal without a loss.

use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use pgdumpd_client::JobState;
use pgdumpd_testkit::{Cluster, cluster, cluster_of, contents, eventually};
use rustix::process::{Signal, kill_process};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

use crate::harness::{Daemon, SOON, World, quoted};

/// A public key of age.
const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// What an attempt that was given up for it leaves in the queue.
const REPLACED: &str = "table_replaced";

/// Tables as an application has them; `gate` is the first that a dump locks.
const TABLES: &str = "
    CREATE TABLE gate (id int);
    CREATE TABLE orders (id int PRIMARY KEY, note text);
    CREATE TABLE accounts (id int PRIMARY KEY, i int);
    CREATE TABLE prices (id int);
    CREATE TABLE live (id int);
    INSERT INTO orders SELECT i, 'order ' || i FROM generate_series(1, 1000) AS i;
    INSERT INTO accounts SELECT i, i FROM generate_series(1, 1000) AS i;
    INSERT INTO prices SELECT generate_series(1, 1000);
    INSERT INTO live SELECT generate_series(1, 1000)";

async fn begin(world: &World, change: &str) -> PgConnection {
    let mut connection = world.shop.connect().await;
    run(&mut connection, &format!("BEGIN; {change}")).await;
    connection
}

async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// Enqueues a backup, and waits until its dump has its snapshot and waits for a lock.
async fn dump_that_waits(world: &World) -> Uuid {
    let id = world.enqueue().await;
    let mut watcher = world.shop.connect().await;
    eventually("the dump waits for a lock", SOON, async || {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
             AND application_name LIKE 'pgdumpd %' AND wait_event_type = 'Lock')",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        waits.then_some(())
    })
    .await;
    id
}

/// The job's first attempt was given up with a text that says this; the second one stores what the database holds.
async fn is_given_up_and_right_the_next_time(world: &World, id: Uuid, says: &str) {
    let status = world.requeued(id).await;
    assert_eq!(status.error_code.as_deref(), Some(REPLACED), "{status:#?}");
    let error = status.error.as_deref().unwrap();
    assert!(error.contains(says), "{error}");
    assert!(status.error_hint.is_some());
    world.make_due(id).await;
    world.succeeded(id).await;
    is_whole(world, id).await;
}

/// The stored backup holds the rows that the database has.
async fn is_whole(world: &World, id: Uuid) {
    let restored = world.restore(&backup_of(world, id)).await;
    assert_eq!(contents(&restored).await, contents(&world.shop).await);
}

fn backup_of(world: &World, id: Uuid) -> PathBuf {
    let mut backups = world.backups().into_iter();
    let is_its_own = |path: &PathBuf| path.to_string_lossy().contains(&id.to_string());
    backups.find(is_its_own).unwrap()
}

/// A transaction replaces a table; it holds its locks when a dump asks for them, and commits while that waits.
async fn is_dumped_again_after(change: &str, table: &str) {
    for cluster in majors().await {
        let world = World::on(cluster, cluster).await;
        world.shop.execute(TABLES).await;
        let daemon = world.daemon().await;
        let mut other = begin(&world, change).await;
        let id = dump_that_waits(&world).await;
        run(&mut other, "COMMIT").await;
        is_given_up_and_right_the_next_time(&world, id, table).await;
        world.assert_clean(1).await;
        daemon.stop().await;
    }
}

async fn majors() -> Vec<&'static Cluster> {
    let mut clusters = Vec::new();
    for major in 14..=18 {
        clusters.extend(cluster_of(major).await);
    }
    clusters
}

/// Two schemas change their names while the first table of the first is being copied.
async fn schemas_are_swapped_on(cluster: &'static Cluster) {
    let mut world = World::on(cluster, cluster).await;
    // Slow enough to be seen at it.
    world.set("targets.shop", "compression", quoted("gzip:9"));
    world
        .shop
        .execute(
            "CREATE SCHEMA live CREATE TABLE orders (generation text, filler text) CREATE TABLE payments (generation text);
             CREATE SCHEMA staging CREATE TABLE orders (generation text) CREATE TABLE payments (generation text);
             INSERT INTO live.orders SELECT 'old', (SELECT string_agg(md5((i * 100 + j)::text), '') FROM generate_series(1, 100) AS j)
             FROM generate_series(1, 10000) AS i;
             INSERT INTO live.payments VALUES ('old');
             INSERT INTO staging.orders VALUES ('new');
             INSERT INTO staging.payments VALUES ('new')",
        )
        .await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let mut watcher = world.shop.connect().await;
    eventually("the first table is being copied", SOON, async || {
        let copied: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_progress_copy WHERE relid = 'live.orders'::regclass)",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        copied.then_some(())
    })
    .await;
    let [dump] = daemon.pg_dumps()[..] else {
        unreachable!("one dump runs");
    };
    kill_process(dump, Signal::STOP).unwrap();
    world
        .shop
        .execute(
            "BEGIN; ALTER SCHEMA live RENAME TO swapped; ALTER SCHEMA staging RENAME TO live;
             ALTER SCHEMA swapped RENAME TO staging; COMMIT",
        )
        .await;
    kill_process(dump, Signal::CONT).unwrap();
    is_given_up_and_right_the_next_time(&world, id, "live").await;
    daemon.stop().await;
}

/// What moves rows, or touches nothing that is dumped, while a dump has its snapshot and not yet its locks.
async fn harmless_changes_on(cluster: &'static Cluster) {
    let world = World::on(cluster, cluster).await;
    world.shop.execute(TABLES).await;
    world
        .shop
        .execute(
            "CREATE TABLE empty (id int);
             CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM orders",
        )
        .await;
    let daemon = world.daemon().await;
    let mut gate = begin(&world, "LOCK TABLE gate").await;
    let id = dump_that_waits(&world).await;
    let mut other = world.shop.connect().await;
    for change in [
        "VACUUM FULL orders",
        "CLUSTER accounts USING accounts_pkey",
        "ALTER TABLE prices SET (fillfactor = 90)",
        "VACUUM FULL prices",
        "TRUNCATE empty",
        "REFRESH MATERIALIZED VIEW summary",
        "CREATE TABLE fleeting AS SELECT 1 AS id",
        "DROP TABLE fleeting",
        "CREATE SCHEMA fleeting",
        "DROP SCHEMA fleeting",
    ] {
        run(&mut other, change).await;
    }
    run(&mut gate, "COMMIT").await;
    world.succeeded(id).await;
    assert_eq!(
        world.ends(id).await,
        [("succeeded".to_owned(), None)],
        "{}",
        daemon.log()
    );
    is_whole(&world, id).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_table_that_is_emptied_and_refilled_as_a_dump_begins_is_dumped_again() {
    let change = "TRUNCATE orders; INSERT INTO orders SELECT i, 'new ' || i FROM generate_series(1, 1500) AS i";
    is_dumped_again_after(change, "public.orders").await;
}

#[tokio::test]
async fn a_table_that_is_rewritten_as_a_dump_begins_is_dumped_again() {
    is_dumped_again_after(
        "ALTER TABLE accounts ALTER i TYPE bigint",
        "public.accounts",
    )
    .await;
}

#[tokio::test]
async fn a_table_that_is_dropped_and_made_again_as_a_dump_begins_is_dumped_again() {
    let change = "DROP TABLE prices; CREATE TABLE prices (id int); INSERT INTO prices SELECT generate_series(1, 1500)";
    is_dumped_again_after(change, "public.prices").await;
}

#[tokio::test]
async fn a_table_that_is_renamed_and_made_again_as_a_dump_begins_is_dumped_again() {
    let change = "ALTER TABLE live RENAME TO live_old; CREATE TABLE live (id int);
                  INSERT INTO live SELECT generate_series(1, 1500)";
    is_dumped_again_after(change, "public.live").await;
}

#[tokio::test]
async fn a_table_with_some_new_rows_that_every_snapshot_sees_is_dumped_again() {
    let change = "TRUNCATE prices; COPY prices FROM PROGRAM 'seq 1 500' (FREEZE);
                  INSERT INTO prices SELECT generate_series(501, 2000)";
    is_dumped_again_after(change, "public.prices").await;
}

#[tokio::test]
async fn schemas_that_are_swapped_while_they_are_dumped_are_dumped_again() {
    for cluster in majors().await {
        schemas_are_swapped_on(cluster).await;
    }
}

#[tokio::test]
async fn what_moves_rows_or_touches_no_dumped_table_fails_no_dump() {
    for cluster in majors().await {
        harmless_changes_on(cluster).await;
    }
}

/// Two schemas change their names while the last table is being copied.
#[tokio::test]
async fn schemas_that_are_swapped_while_the_last_table_is_copied_fail_no_dump() {
    let mut world = World::new().await;
    // Slow enough to be seen at it.
    world.set("targets.shop", "compression", quoted("gzip:9"));
    world
        .shop
        .execute(
            "CREATE SCHEMA first CREATE TABLE orders (filler text);
             CREATE SCHEMA last CREATE TABLE orders (filler text);
             INSERT INTO last.orders SELECT (SELECT string_agg(md5((i * 100 + j)::text), '') FROM generate_series(1, 100) AS j)
             FROM generate_series(1, 15000) AS i",
        )
        .await;
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let mut watcher = world.shop.connect().await;
    eventually("the last table is half copied", SOON, async || {
        let copied: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_progress_copy
             WHERE relid = 'last.orders'::regclass AND bytes_processed > 16000000)",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        copied.then_some(())
    })
    .await;
    let [dump] = daemon.pg_dumps()[..] else {
        unreachable!("one dump runs");
    };
    kill_process(dump, Signal::STOP).unwrap();
    // The other tables have none: the daemon has seen some of the last one's.
    world
        .until(id, "rows are counted", |status| {
            status.rows_done.is_some_and(|rows| rows > 0)
        })
        .await;
    world
        .shop
        .execute(
            "BEGIN; ALTER SCHEMA last RENAME TO swapped; ALTER SCHEMA first RENAME TO last;
             ALTER SCHEMA swapped RENAME TO first; COMMIT",
        )
        .await;
    let swapped: chrono::DateTime<Utc> = sqlx::query_scalar("SELECT now()")
        .fetch_one(&mut watcher)
        .await
        .unwrap();
    let looks_again = eventually("the schemas' names are asked for", SOON, async || {
        let asked: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query_start > $1
             AND query LIKE '%What each schema is called%' AND pid <> pg_backend_pid())",
        )
        .bind(swapped)
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        asked.then_some(())
    });
    // Twice as long as it would take.
    let _ = tokio::time::timeout(Duration::from_secs(4), looks_again).await;
    kill_process(dump, Signal::CONT).unwrap();
    world.succeeded(id).await;
    assert_eq!(
        world.ends(id).await,
        [("succeeded".to_owned(), None)],
        "{}",
        daemon.log()
    );
    daemon.stop().await;
}

/// Changes that wait for the locks of a dump, which is over before the daemon looks at the tables. `last_gate`, the newest
/// table, is the one whose lock the dump waits for until they all wait.
async fn change_once_the_dump_is_over(world: &World, daemon: &Daemon, changes: &[&str]) -> Uuid {
    let mut gate = begin(world, "LOCK TABLE last_gate").await;
    let id = dump_that_waits(world).await;
    let mut watcher = world.shop.connect().await;
    let mut waiting = Vec::new();
    for change in changes {
        let shop = world.shop.clone();
        let change = (*change).to_owned();
        waiting.push(tokio::spawn(async move { shop.execute(&change).await }));
    }
    let all = 1 + i64::try_from(changes.len()).unwrap();
    eventually("all changes wait for a lock", SOON, async || {
        let waits: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        (waits == all).then_some(())
    })
    .await;
    daemon.signal(Signal::STOP);
    run(&mut gate, "COMMIT").await;
    for change in waiting {
        change.await.unwrap();
    }
    daemon.signal(Signal::CONT);
    id
}

#[tokio::test]
async fn what_waits_for_the_locks_of_a_short_dump_does_not_fail_it() {
    for cluster in majors().await {
        let world = World::on(cluster, cluster).await;
        world.shop.execute(TABLES).await;
        world
            .shop
            .execute(
                "CREATE SCHEMA old CREATE TABLE orders (id int); INSERT INTO old.orders VALUES (1);
                      CREATE TABLE scratch (id int); CREATE TABLE last_gate (id int)",
            )
            .await;
        let before = contents(&world.shop).await;
        let daemon = world.daemon().await;
        let changes = [
            "DROP TABLE prices",
            "ALTER TABLE live RENAME TO live_old",
            "TRUNCATE orders",
            "DROP SCHEMA old CASCADE",
            "DROP TABLE scratch",
        ];
        let id = change_once_the_dump_is_over(&world, &daemon, &changes).await;
        world.succeeded(id).await;
        assert_eq!(
            world.ends(id).await,
            [("succeeded".to_owned(), None)],
            "{}",
            daemon.log()
        );
        let restored = world.restore(&backup_of(&world, id)).await;
        assert_eq!(contents(&restored).await, before);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_table_that_took_anothers_place_before_a_short_dump_locked_it_and_went_after_it_is_dumped_again()
 {
    let world = World::new().await;
    world.shop.execute(TABLES).await;
    world.shop.execute("CREATE TABLE last_gate (id int)").await;
    let daemon = world.daemon().await;
    let mut other = begin(&world, "DROP TABLE prices; CREATE TABLE prices (id int)").await;
    let mut gate = begin(&world, "LOCK TABLE last_gate").await;
    let id = dump_that_waits(&world).await;
    run(&mut other, "COMMIT").await;
    let mut watcher = world.shop.connect().await;
    eventually("the dump waits for the last table", SOON, async || {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'last_gate'::regclass AND NOT granted)",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        waits.then_some(())
    })
    .await;
    let shop = world.shop.clone();
    let drop = tokio::spawn(async move { shop.execute("DROP TABLE prices").await });
    eventually("the table is about to be dropped", SOON, async || {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'prices'::regclass AND NOT granted)",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        waits.then_some(())
    })
    .await;
    daemon.signal(Signal::STOP);
    run(&mut gate, "COMMIT").await;
    drop.await.unwrap();
    daemon.signal(Signal::CONT);
    let status = world.requeued(id).await;
    assert_eq!(status.error_code.as_deref(), Some(REPLACED), "{status:#?}");
    assert!(status.error.unwrap().contains("public.prices"));
    daemon.stop().await;
}

#[tokio::test]
async fn a_table_that_is_moved_to_another_tablespace_as_a_dump_begins_fails_no_dump() {
    let world = World::new().await;
    world.shop.execute(TABLES).await;
    let space = format!("space_{}", Uuid::new_v4().simple());
    let mut other = world.shop.connect().await;
    run(&mut other, "SET allow_in_place_tablespaces = on").await;
    run(
        &mut other,
        &format!("CREATE TABLESPACE {space} LOCATION ''"),
    )
    .await;
    let daemon = world.daemon().await;
    let mut gate = begin(&world, "LOCK TABLE gate").await;
    let id = dump_that_waits(&world).await;
    // Nobody has counted its rows.
    run(
        &mut other,
        &format!("ALTER TABLE prices SET TABLESPACE {space}"),
    )
    .await;
    run(&mut gate, "COMMIT").await;
    let status = world.ended(id).await;
    run(&mut other, "ALTER TABLE prices SET TABLESPACE pg_default").await;
    run(&mut other, &format!("DROP TABLESPACE {space}")).await;
    assert_eq!(status.rows_done, Some(4000), "{status:#?}");
    assert_eq!(
        world.ends(id).await,
        [("succeeded".to_owned(), None)],
        "{}",
        daemon.log()
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a_sealed_backup_that_is_given_up_names_no_table() {
    let mut world = World::new().await;
    world.shop.execute(TABLES).await;
    world.set("targets.shop", "encrypt_to", format!("[{}]", quoted(KEY)));
    world.set("targets.shop", "manifest", quoted("sealed"));
    let daemon = world.daemon().await;
    let mut other = begin(&world, "TRUNCATE orders; INSERT INTO orders VALUES (1)").await;
    let id = dump_that_waits(&world).await;
    run(&mut other, "COMMIT").await;
    let status = world.requeued(id).await;
    assert_eq!(status.error_code.as_deref(), Some(REPLACED));
    let error = status.error.as_deref().unwrap();
    assert!(
        error.ends_with(": 1") && !error.contains("orders"),
        "{error}"
    );
    daemon.stop().await;
}

/// Empties and fills a table at random moments beside backups, until it was done so often. No backup has fewer rows than the
/// table had at any moment.
async fn refilled_at_random(cluster: &'static Cluster, refills: u32) {
    let world = World::on(cluster, cluster).await;
    world.shop.execute(TABLES).await;
    // More tables give more time between snapshot and locks.
    world
        .shop
        .execute(
            "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE before_%s (id int)', i); END LOOP; END $$;
             CREATE TABLE refilled (id int PRIMARY KEY); INSERT INTO refilled SELECT generate_series(1, 1000)",
        )
        .await;
    let daemon = world.daemon().await;
    let mut writer = world.shop.connect().await;
    let refill = async {
        for refill in 0..refills {
            // A random moment is what is tested; nothing waits for it.
            let pause = Duration::from_millis(rand::random_range(0..1500));
            tokio::time::sleep(pause).await;
            let rows = 1000 + refill;
            let change = format!(
                "BEGIN; TRUNCATE refilled; INSERT INTO refilled SELECT generate_series(1, {rows});
                 SELECT pg_sleep({}); COMMIT",
                rand::random_range(0.0..0.3)
            );
            run(&mut writer, &change).await;
        }
    };
    let mut refill = std::pin::pin!(refill);
    let (mut backups, mut given_up) = (0, 0);
    loop {
        let id = world.enqueue().await;
        let ended = async {
            loop {
                let status = world
                    .until(id, "an attempt has ended", |status| {
                        status.state.has_ended()
                            || (status.error.is_some() && status.run_at > Utc::now())
                    })
                    .await;
                if status.state.has_ended() {
                    return status;
                }
                world.make_due(id).await;
            }
        };
        let mut ended = std::pin::pin!(ended);
        let mut is_over = false;
        let status = tokio::select! {
            status = &mut ended => status,
            () = &mut refill => {
                is_over = true;
                ended.await
            }
        };
        for (_, code) in world.ends(id).await {
            if let Some(code) = code {
                assert_eq!(code, REPLACED);
                given_up += 1;
            }
        }
        if status.state == JobState::Succeeded {
            backups += 1;
            let restored = world.restore(&backup_of(&world, id)).await;
            let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM refilled")
                .fetch_one(&mut restored.connect().await)
                .await
                .unwrap();
            assert!(
                rows >= 1000,
                "{rows} rows, {backups} backups, {given_up} given up"
            );
        }
        if is_over {
            break;
        }
    }
    assert!(backups > 0);
    eprintln!(
        "PostgreSQL {}: {refills} refills, {backups} backups, {given_up} attempts given up",
        cluster.major()
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a_table_that_is_refilled_at_random_moments_is_never_stored_empty() {
    refilled_at_random(cluster().await, 8).await;
}

#[tokio::test]
#[ignore = "takes minutes: the short version above runs always"]
async fn a_table_that_is_refilled_fifty_times_is_never_stored_empty() {
    for major in [14, 18] {
        if let Some(cluster) = cluster_of(major).await {
            refilled_at_random(cluster, 50).await;
        }
    }
}

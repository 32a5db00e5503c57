//! What concerns a whole server: its locks, its limit, its end, its recovery.

use pgdumpd_client::{BackupRequest, JobStatus};
use pgdumpd_testkit::{Cluster, Database, Language, cluster, eventually};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, Executor as _};

use super::{Ends, has_failed, is_english};
use crate::harness::{SOON, World, quoted};

const LOCKS: Ends = Ends {
    code: "lock_table_full",
    step: "dump",
    again: false,
    hint: "Raise max_locks_per_transaction: pg_dump locks every table at once.",
};
const LIMIT: Ends = Ends {
    code: "too_many_connections",
    step: "connect",
    again: true,
    hint: "The server, the database or the backup role is at its connection limit; raise it, or let the backup run at \
           another time.",
};
const STARTING: Ends = Ends {
    code: "target_starting",
    step: "connect",
    again: true,
    hint: "The server is starting up, shutting down or recovering.",
};
const CONFLICT: Ends = Ends {
    code: "recovery_conflict",
    step: "dump",
    again: true,
    hint: "Raise max_standby_streaming_delay or set hot_standby_feedback on the standby that is dumped.",
};

async fn private(language: Option<Language>, settings: &[(&str, &str)]) -> Option<Cluster> {
    match language {
        None => Some(Cluster::start_private(settings).await),
        Some(language) => Cluster::start_private_speaking(language, settings).await,
    }
}

/// Runs a job of `shop` and gives how its first attempt ended.
async fn run(world: &World, ends: &Ends, english: &str, language: Option<Language>) -> JobStatus {
    let id = world.enqueue_request(BackupRequest::new("shop")).await;
    let status = world.until(id, ends.code, has_failed).await;
    ends.check(&status, english);
    let error = status.error.as_deref().unwrap();
    assert_eq!(error.contains(english), is_english(language), "{error}");
    // It must not run again beside the next one.
    world.cancel(id).await;
    status
}

/// A role of the target that may read everything.
async fn as_reader(world: &mut World) {
    let role = world.cluster.role("IN ROLE pg_read_all_data").await;
    let url = quoted(&world.shop.url_as(&role.name));
    world.set("targets.shop", "url", url);
}

async fn small_server(language: Option<Language>) {
    let settings = [
        ("max_connections", "12"),
        ("max_prepared_transactions", "0"),
        ("max_locks_per_transaction", "10"),
        ("max_worker_processes", "0"),
        ("autovacuum_max_workers", "1"),
    ];
    let Some(server) = private(language, &settings).await else {
        return;
    };
    let server: &'static Cluster = Box::leak(Box::new(server));
    let mut world = World::on(cluster().await, server).await;
    as_reader(&mut world).await;
    world
        .shop
        .execute(
            "DO $$ BEGIN FOR i IN 1..2500 LOOP EXECUTE format('CREATE TABLE t%s ()', i); COMMIT; END LOOP; END $$",
        )
        .await;
    let daemon = world.daemon().await;
    run(&world, &LOCKS, "out of shared memory", language).await;

    let mut sessions = vec![world.shop.connect().await];
    // Below the limit for everybody but superusers, of whom three may come.
    while sessions.len() < 9 {
        sessions.push(world.shop.connect().await);
    }
    run(
        &world,
        &LIMIT,
        "remaining connection slots are reserved",
        language,
    )
    .await;
    for session in sessions.drain(1..) {
        session.close().await.unwrap();
    }

    // It takes no more connections, and waits for the one that there is.
    let postmaster =
        std::fs::read_to_string(server.directory().join("data/postmaster.pid")).unwrap();
    let postmaster = postmaster.lines().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(postmaster).unwrap(), Signal::TERM).unwrap();
    run(
        &world,
        &STARTING,
        "the database system is shutting down",
        language,
    )
    .await;
    drop(sessions);
    drop(daemon);
}

#[tokio::test]
async fn an_english_server_that_lacks_room_or_goes_down_has_its_code() {
    small_server(None).await;
}

#[tokio::test]
async fn a_german_server_that_lacks_room_or_goes_down_has_the_same_code() {
    small_server(Some(Language::German)).await;
}

/// A standby whose primary drops a table that a dump has locked, while it waits for another one's lock.
async fn standby(language: Option<Language>) {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "2")];
    let Some(primary) = private(language, &settings).await else {
        return;
    };
    let shop = primary.database().await;
    let role = primary.role("IN ROLE pg_read_all_data").await;
    shop.execute("CREATE TABLE dropped (id int)").await;
    shop.execute("CREATE TABLE held (id int)").await;
    let standby = primary
        .start_standby(&[("max_standby_streaming_delay", "0")])
        .await;
    let standby: &'static Cluster = Box::leak(Box::new(standby));
    let mut world = World::on(cluster().await, cluster().await).await;
    let copy = Database::existing(standby, shop.name());
    world.set("targets.shop", "url", quoted(&copy.url_as(&role.name)));
    let mut holder = shop.connect().await;
    holder
        .execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    // What is committed after it carries it to the standby.
    shop.execute("CREATE TABLE later (id int)").await;
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted";
    count(&copy, "the standby has the lock", held).await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgdumpd %' AND wait_event_type = 'Lock'";
    count(&copy, "pg_dump waits for the lock", waits).await;
    shop.execute("DROP TABLE dropped").await;
    let status = world.until(id, "the conflict", has_failed).await;
    CONFLICT.check(&status, "conflict");
    let error = status.error.as_deref().unwrap();
    let says_so = error.contains("conflict with recovery");
    assert_eq!(says_so, is_english(language), "{error}");
}

/// Waits until this counts something.
async fn count(database: &Database, what: &str, sql: &'static str) {
    let mut connection = database.connect().await;
    eventually(what, SOON, async || {
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        (count > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_english_standby_that_ends_a_dump_has_its_code() {
    standby(None).await;
}

#[tokio::test]
async fn a_german_standby_that_ends_a_dump_has_the_same_code() {
    standby(Some(Language::German)).await;
}

/// Before a session has an encoding, such a server writes in its own; sqlx reads UTF-8 alone, and no SQLSTATE.
#[tokio::test]
async fn a_server_whose_words_are_not_utf_8_is_no_outage() {
    let Some(server) = cluster_latin1().await else {
        return;
    };
    let mut world = World::on(cluster().await, server).await;
    let url = Database::existing(server, "nosuchdatabase").url();
    world.set("targets.shop", "url", quoted(&url));
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.until(id, "the refusal", has_failed).await;
    let refused = Ends {
        code: "target_refused",
        step: "connect",
        again: true,
        hint: "The server refuses the connection in words that are not UTF-8: its log says why. With lc_messages = 'C' in \
               its postgresql.conf, or a locale of UTF-8, this error says it, too.",
    };
    refused.check(&status, "in LATIN1");
}

async fn cluster_latin1() -> Option<&'static Cluster> {
    pgdumpd_testkit::cluster_speaking(Language::GermanLatin1).await
}

//! Dumps that somebody or something ends: pg_dump says so in the server's words.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use pgdumpd_client::BackupRequest;
use pgdumpd_testkit::{Database, Language, cluster, eventually};
use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

use super::refusals::LIMIT;
use super::{Ends, checked_daemon, has_failed, is_english, world};
use crate::harness::{SOON, World, quoted};

/// The real pg_dump; in a database that `impatient` names it waits 0.3 s for a lock, and in one that `busy` names
/// another session of its role is there as long as it runs.
const PG_DUMP: &str = r#"#!/bin/sh
case $PGDATABASE in
IMPATIENT) exec BIN/pg_dump "$@" --lock-wait-timeout=300 ;;
BUSY)
    said=$0.$$
    mkfifo "$said.asked"
    PGAPPNAME=busy BIN/psql -XAt <"$said.asked" >"$said" 2>&1 &
    exec 3>"$said.asked"
    echo 'SELECT 1;' >&3
    until [ -s "$said" ]; do sleep 0.05; done
    BIN/pg_dump "$@" 3>&-
    status=$?
    exec 3>&-
    wait
    # Until the server has noticed.
    until BIN/psql -XAtc 'SELECT 1' >"$said" 2>&1; do sleep 0.05; done
    exit $status
    ;;
*) exec BIN/pg_dump "$@" ;;
esac
"#;

/// A target with a table that somebody holds.
struct Held {
    name: &'static str,
    database: Database,
    holder: PgConnection,
}

async fn target(world: &mut World, name: &'static str, sql: &str) -> Held {
    let database = world.cluster.database().await;
    let role = world.cluster.role("").await;
    let sql = format!("CREATE TABLE held (id int); GRANT pg_read_all_data TO {{role}}; {sql}");
    let sql = sql
        .replace("{role}", &role.name)
        .replace("{database}", database.name());
    database.execute(&sql).await;
    let url = quoted(&database.url_as(&role.name));
    world.set(&format!("targets.{name}"), "url", url);
    let holder = database.connect().await;
    Held {
        name,
        database,
        holder,
    }
}

impl Held {
    /// Enqueues a job, which waits for the table.
    async fn enqueue(&mut self, world: &World) -> Uuid {
        self.holder
            .execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        world.enqueue_request(BackupRequest::new(self.name)).await
    }

    /// Does this to pg_dump's session, which waits for the table's lock.
    async fn once_it_waits(&self, function: &str) {
        let sql = format!(
            "SELECT {function}(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgdumpd %'
             AND datname = current_database() AND wait_event_type = 'Lock'"
        );
        let mut connection = self.database.connect().await;
        eventually("pg_dump waits for the lock", SOON, async || {
            sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(sql.as_str()))
                .fetch_optional(&mut connection)
                .await
                .unwrap()
        })
        .await;
    }
}

/// Lets the daemon use [`PG_DUMP`].
async fn wrap(world: &mut World, impatient: &Database, busy: &Database) {
    let bin = cluster().await.bin_dir().display().to_string();
    let text = PG_DUMP
        .replace("BIN", &bin)
        .replace("IMPATIENT", impatient.name())
        .replace("BUSY", busy.name());
    let folder: PathBuf = world.dir.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("pg_dump");
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let folder = quoted(&folder.display().to_string());
    world.set("pg_dump", "directories", format!("[{folder}]"));
}

/// Runs a dump for each way to end it, on a server whose databases speak this language.
async fn ends(language: Option<Language>) {
    // What a server says of a session that is there is in the language of its database.
    let of_server = language.map(|_| Language::German);
    let Some(mut world) = world(of_server).await else {
        return;
    };
    let speaks = language.map_or_else(String::new, |language| {
        let locale = language.locale();
        format!("ALTER DATABASE {{database}} SET lc_messages = '{locale}'")
    });
    let mut cancelled = target(&mut world, "cancelled", &speaks).await;
    let mut ended = target(&mut world, "ended", &speaks).await;
    let mut impatient = target(&mut world, "impatient", &speaks).await;
    let limited = format!("ALTER ROLE {{role}} CONNECTION LIMIT 2; {speaks}");
    let busy = target(&mut world, "busy", &limited).await;
    // It would take the last connection.
    world.set("targets.busy", "progress_sample", "false");
    wrap(&mut world, &impatient.database, &busy.database).await;
    let _daemon = checked_daemon(&world).await;
    let jobs = [
        (cancelled.enqueue(&world).await, CANCELLED, "user request"),
        (ended.enqueue(&world).await, LOST, "terminating connection"),
        (impatient.enqueue(&world).await, LOCK, "statement timeout"),
        (
            world.enqueue_request(BackupRequest::new("busy")).await,
            LIMIT,
            "too many connections",
        ),
    ];
    cancelled.once_it_waits("pg_cancel_backend").await;
    ended.once_it_waits("pg_terminate_backend").await;
    for (id, wanted, english) in jobs {
        let status = world.until(id, wanted.code, has_failed).await;
        wanted.check(&status, english);
        let error = status.error.as_deref().unwrap();
        assert_eq!(error.contains(english), is_english(language), "{error}");
    }
}

const CANCELLED: Ends = Ends {
    code: "dump_cancelled_on_server",
    step: "dump",
    again: true,
    hint: "Somebody cancelled pg_dump's query on the server.",
};
const LOST: Ends = Ends {
    code: "connection_lost",
    step: "dump",
    again: true,
    hint: "Check the server's log: it was stopped or crashed, the network broke, or somebody ended pg_dump's session.",
};
const LOCK: Ends = Ends {
    code: "lock_not_available",
    step: "dump",
    again: true,
    hint: "Something held a table's lock for longer than lock_wait_timeout; see pg_locks and pg_stat_activity.",
};

#[tokio::test]
async fn a_dump_that_an_english_server_ends_has_its_code() {
    ends(None).await;
}

#[tokio::test]
async fn a_dump_that_a_german_server_ends_has_the_same_code() {
    ends(Some(Language::German)).await;
}

#[tokio::test]
async fn a_dump_that_a_japanese_server_ends_has_the_same_code() {
    ends(Some(Language::Japanese)).await;
}

#[tokio::test]
async fn a_dump_that_a_russian_server_ends_has_the_same_code() {
    ends(Some(Language::Russian)).await;
}

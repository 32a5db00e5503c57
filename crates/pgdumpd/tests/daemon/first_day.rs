//! What a newcomer, an operator and a hoster's address do on the first day: each mistake has an answer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{Cluster, Role, cluster, cluster_of, eventually, fill};
use rustix::process::Signal;

use crate::harness::{SOON, World, logged, quoted};

#[tokio::test]
async fn a_target_that_nobody_serves_is_warned_of_and_the_wait_ends() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    let said = world
        .say(&["enqueue", "shpo", "--wait", "--wait-timeout", "1s"])
        .code(8);
    assert!(
        said.err
            .contains("no daemon serves target \"shpo\" (did you mean \"shop\"?)"),
        "{}",
        said.err
    );
    assert!(said.err.contains("the job stays queued"), "{}", said.err);
    let checked = world.say(&["check", "--problems"]);
    let unserved = "no daemon serves target \"shpo\", queued: 1 job";
    assert!(checked.out.contains(unserved), "{}", checked.out);
    assert!(!checked.out.contains("\nok "), "{}", checked.out);
    // One that is served waits for nothing.
    world
        .say(&["enqueue", "shop", "--wait", "--wait-timeout", "1s"])
        .code(0);
}

#[tokio::test]
async fn a_backup_is_named_by_the_beginning_of_its_id_or_by_its_target() {
    let world = World::new().await;
    fill(&world.shop, 1).await;
    let _daemon = world.daemon().await;
    let request =
        BackupRequest::new("shop").with_id("aaaa0000-0000-7000-8000-000000000001".parse().unwrap());
    let first = world.enqueue_request(request).await;
    world.succeeded(first).await;
    let request =
        BackupRequest::new("shop").with_id("aaaabbbb-0000-7000-8000-000000000002".parse().unwrap());
    let second = world.enqueue_request(request).await;
    world.succeeded(second).await;
    for storage in [&[][..], &["--storage", "local"]] {
        let show = |named: &[&str]| {
            let arguments = [&["show"], named, storage].concat();
            world.say(&arguments)
        };
        let shown = show(&["aaaa0"]).code(0);
        assert!(shown.out.contains(&first.to_string()), "{}", shown.out);
        let shown = show(&["--target", "shop", "--latest"]).code(0);
        assert!(shown.out.contains(&second.to_string()), "{}", shown.out);
        let several = show(&["aaaa"]).code(1);
        assert!(
            several
                .err
                .contains("several backups have an id that begins with aaaa"),
            "{}",
            several.err
        );
        assert!(several.err.contains(&second.to_string()), "{}", several.err);
        show(&["bbbb"]).code(3);
        let none = show(&["--target", "other"]).code(3);
        assert!(
            none.err.contains("target \"other\" has no backup"),
            "{}",
            none.err
        );
    }
    let without = world.say(&["fetch", "aaa", "-o", "x"]).code(2);
    assert!(
        without.err.contains("first 4 digits or more"),
        "{}",
        without.err
    );
}

#[tokio::test]
async fn a_password_that_is_changed_in_its_file_needs_no_reload() {
    let mut world = World::new().await;
    world.shop.execute("CREATE TABLE t AS SELECT 1 AS id").await;
    let role = world.cluster.role("").await;
    let change = async |password: &str| {
        let sql = format!(
            "ALTER ROLE {0} PASSWORD '{password}'; GRANT pg_read_all_data TO {0}",
            role.name
        );
        world.shop.execute(&sql).await;
    };
    change("one").await;
    let file = world.dir.path().join("shop.password");
    std::fs::write(&file, "one\n").unwrap();
    let without = Role {
        password: String::new(),
        ..role.clone()
    };
    let url = world.shop.tcp_url(&without);
    world.set("targets.shop", "url", quoted(&url));
    world.set(
        "targets.shop",
        "password_file",
        quoted(&file.display().to_string()),
    );
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    let sql = format!("ALTER ROLE {} PASSWORD 'two'", role.name);
    world.shop.execute(&sql).await;
    std::fs::write(&file, "two\n").unwrap();
    let id = world.enqueue().await;
    assert_eq!(world.succeeded(id).await.attempt, 1, "{}", daemon.log());
}

#[tokio::test]
async fn a_password_that_cannot_be_sent_is_not_shown() {
    let mut world = World::new().await;
    let role = world.cluster.role("").await;
    let sql = format!("ALTER ROLE {} PASSWORD '100₽'", role.name);
    world.shop.execute(&sql).await;
    let role = Role {
        password: "100₽".to_owned(),
        ..role
    };
    let url = world.shop.tcp_url(&role);
    world.set("targets.shop", "url", quoted(&url));
    let daemon = world.daemon().await;
    let id = world.enqueue().await;
    let failed = world.failed(id).await;
    assert_eq!(failed.error_code.as_deref(), Some("target_misconfigured"));
    assert!(
        failed.error_hint.as_deref().unwrap().contains("SASLprep"),
        "{failed:#?}"
    );
    let said = world.say(&["check"]);
    for text in [failed.error.as_deref().unwrap(), &daemon.log(), &said.out] {
        assert!(!text.contains('₽') && !text.contains("20bd"), "{text}");
    }
}

#[tokio::test]
async fn settings_of_the_database_do_not_end_a_dump() {
    let world = World::new().await;
    fill(&world.shop, 2).await;
    let name = world.shop.name();
    // By one connection: the next one would have the first limit already.
    let settings = [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    ]
    .map(|setting| format!("ALTER DATABASE {name} SET {setting} = '1ms'"));
    world.shop.execute(&settings.join("; ")).await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    assert_eq!(world.succeeded(id).await.attempt, 1);
}

#[tokio::test]
async fn the_message_of_an_ended_job_is_about_its_end() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    let queued = world.enqueue_request(BackupRequest::new("other")).await;
    world.cancel(queued).await;
    daemon.stop().await;
    world.set(
        "targets.shop",
        "url",
        quoted(&world.shop.url().replace(world.shop.name(), "gone")),
    );
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let failed = world.failed(id).await;
    let error = failed.error.as_deref().unwrap();
    assert_eq!(failed.message.as_deref(), Some(error));
}

#[tokio::test]
async fn a_configuration_that_is_refused_at_a_reload_shows_in_check() {
    let mut world = World::new().await;
    let daemon = world.daemon().await;
    let good = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), format!("{good}\n[nonsense]\nx = 1\n")).unwrap();
    daemon.signal(Signal::HUP);
    eventually("the refusal is logged", SOON, async || {
        logged(&daemon, "ERROR", "the configuration stays as it was").then_some(())
    })
    .await;
    std::fs::write(world.config(), &good).unwrap();
    eventually("check shows it", SOON, async || {
        let said = world.say(&["check", "--problems"]);
        (said.code == Some(6) && said.out.contains("was refused when it was read again"))
            .then_some(())
    })
    .await;
    // And what counts only after a restart is said.
    world.set("daemon", "max_jobs", "7");
    daemon.signal(Signal::HUP);
    eventually("the restart is asked for", SOON, async || {
        logged(
            &daemon,
            "WARN",
            "changes in the sections daemon count only after a restart",
        )
        .then_some(())
    })
    .await;
    eventually("check is clean again", SOON, async || {
        let said = world.say(&["check", "--problems"]);
        (!said.out.contains("was refused")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn databases_that_cannot_be_served_are_reported_and_stop_nothing() {
    let server: &'static Cluster = Box::leak(Box::new(Cluster::start_private(&[]).await));
    let mut world = World::on(cluster().await, server).await;
    world.shop.execute("CREATE DATABASE \"odd\nname\"").await;
    // A name in another encoding, as a database without one takes it.
    world.shop.execute("CREATE DATABASE plain ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'").await;
    let output = std::process::Command::new(server.bin("psql"))
        .arg(world.shop.url().replace(world.shop.name(), "plain"))
        .args(["-qc", "SET client_encoding = SQL_ASCII"])
        .arg("-c")
        .arg(OsStr::from_bytes(
            b"CREATE DATABASE \"caf\xe9\" ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
        ))
        .env("PGCLIENTENCODING", "SQL_ASCII")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    world.set("targets.shop", "databases", quoted("*"));
    let _daemon = world.daemon().await;
    let name = format!("shop/{}", world.shop.name());
    let id = world
        .enqueue_request(BackupRequest::new(name.as_str()))
        .await;
    world.succeeded(id).await;
    let said = world.say(&["check", "--problems"]).code(6);
    for text in [
        "\"odd\\nname\" is not served: its name has control characters",
        "is not served: its name is not UTF-8",
    ] {
        assert!(said.out.contains(text), "{text}: {}", said.out);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_database_that_is_made_later_is_served_as_soon_as_a_job_names_it() {
    let mut world = World::new().await;
    world.set("targets.all", "url", quoted(&world.shop.url()));
    world.set("targets.all", "databases", quoted("*"));
    let _daemon = world.daemon().await;
    // Of another job that names what is never there, the server is asked once.
    let never = world
        .enqueue_request(BackupRequest::new("all/nosuch"))
        .await;
    let later = world.cluster.database().await;
    later.execute("CREATE TABLE t (id int)").await;
    let request = BackupRequest::new(format!("all/{}", later.name()));
    let asked = Instant::now();
    let id = world.enqueue_request(request).await;
    world.succeeded(id).await;
    assert!(
        asked.elapsed() < Duration::from_secs(40),
        "{:?}",
        asked.elapsed()
    );
    let waits = world.status(never).await;
    assert!(waits.unserved, "{waits:#?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_listed_is_an_error_of_check() {
    let mut world = World::new().await;
    world.set(
        "targets.all",
        "url",
        quoted("postgres://nosuchrole@127.0.0.1:1/postgres"),
    );
    world.set("targets.all", "databases", quoted("*"));
    let _daemon = world.daemon().await;
    let said = world.say(&["check", "--problems"]).code(6);
    assert!(
        said.out.contains("target all: cannot connect to"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn a_login_trigger_that_refuses_is_no_outage() {
    let Some(cluster) = cluster_of(17).await else {
        return;
    };
    let world = World::on(cluster, cluster).await;
    let role = cluster.role("").await;
    world
        .shop
        .execute(&format!(
            "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
             BEGIN IF session_user = '{}' THEN RAISE 'not at night'; END IF; END $$;
             CREATE EVENT TRIGGER refuse ON login EXECUTE FUNCTION refuse();
             ALTER EVENT TRIGGER refuse ENABLE ALWAYS",
            role.name
        ))
        .await;
    let mut world = world;
    let url = quoted(&world.shop.url_as(&role.name));
    world.set("targets.shop", "url", url);
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let failed = world.failed(id).await;
    assert_eq!(
        failed.error_code.as_deref(),
        Some("target_refused"),
        "{failed:#?}"
    );
    assert!(failed.error.unwrap().contains("not at night"));
    assert_eq!(failed.state, JobState::Failed);
}

#[tokio::test]
async fn a_connection_limit_that_strikes_pg_dump_alone_is_named() {
    let mut world = World::new().await;
    world.shop.execute("CREATE TABLE t AS SELECT 1 AS id").await;
    let role = world.cluster.role("").await;
    let sql = format!(
        "GRANT pg_read_all_data TO {0}; ALTER ROLE {0} CONNECTION LIMIT 1",
        role.name
    );
    world.shop.execute(&sql).await;
    let url = quoted(&world.shop.url_as(&role.name));
    world.set("targets.shop", "url", url);
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let failed = world.requeued(id).await;
    assert_eq!(
        failed.error_code.as_deref(),
        Some("too_many_connections"),
        "{failed:#?}"
    );
}

#[tokio::test]
async fn a_backup_of_a_database_without_tables_is_one_with_a_warning() {
    let world = World::new().await;
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    let status = world.succeeded(id).await;
    assert_eq!(status.warnings_total, 1, "{status:#?}");
    assert!(
        status.warnings[0].contains("holds no table"),
        "{:?}",
        status.warnings
    );
    world.shop.execute("CREATE TABLE t ()").await;
    let id = world.enqueue().await;
    assert_eq!(world.succeeded(id).await.warnings_total, 0);
}

#[tokio::test]
async fn a_pg_dump_that_is_gone_for_a_moment_costs_an_attempt_and_no_backup() {
    let Some(cluster) = cluster_of(18).await else {
        return;
    };
    if std::path::Path::new("/usr/lib/postgresql/18/bin/pg_dump").exists() {
        return;
    }
    let mut world = World::on(cluster, cluster).await;
    let installed = world.dir.path().join("installed");
    std::fs::create_dir(&installed).unwrap();
    let program = installed.join("pg_dump");
    std::os::unix::fs::symlink(world.cluster.bin("pg_dump"), &program).unwrap();
    let folder = quoted(installed.to_str().unwrap());
    world.set("pg_dump", "directories", format!("[{folder}]"));
    let _daemon = world.daemon().await;
    let id = world.enqueue().await;
    world.succeeded(id).await;
    // As in the second in which its package is upgraded.
    let away = installed.join("away");
    std::fs::rename(&program, &away).unwrap();
    let id = world.enqueue().await;
    let waits = world.requeued(id).await;
    let code = waits.error_code.as_deref().unwrap_or_default();
    assert!(
        ["pg_dump_missing", "pg_dump_too_old"].contains(&code),
        "{waits:#?}"
    );
    std::fs::rename(&away, &program).unwrap();
    world.make_due(id).await;
    assert_eq!(world.succeeded(id).await.attempt, 2);
}

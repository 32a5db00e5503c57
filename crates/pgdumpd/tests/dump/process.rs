//! One pg_dump: how it is started, what it shows, how it ends.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{SOON, drain, plan, url};
use pgdumpd::dump::{PgDump, find};
use pgdumpd::server::Target;
use pgdumpd_client::BackupSpec;
use pgdumpd_testkit::{FakePgDump, Then, cluster, eventually};

#[tokio::test]
async fn a_whole_dump_comes_out_and_ends_cleanly() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
        .await;
    let (mut dump, output) =
        PgDump::start(&plan(&cluster.bin_dir(), &db.url(), BackupSpec::default()).await).unwrap();
    let meter = output.meter();
    let archive = drain(output).await.unwrap();
    let exit = dump.wait().await.unwrap();
    assert!(archive.starts_with(b"PGDMP"));
    assert_eq!(meter.bytes(), archive.len() as u64);
    assert_eq!(exit.warnings().total, 0);
    assert!(dump.try_wait().unwrap());
    assert!(
        dump.stop(SOON).await.unwrap(),
        "a stop after the end is no error"
    );
    assert!(dump.wait().await.is_ok(), "and changes nothing");
}

#[tokio::test]
async fn a_password_reaches_the_server_by_scram_and_shows_nowhere() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute("CREATE TABLE t (id int)").await;
    let role = cluster.role("SUPERUSER").await;
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();

    let plan = plan(
        &cluster.bin_dir(),
        &db.tcp_url(&role),
        BackupSpec::default(),
    )
    .await;
    let target = Target::connect("t", plan.url()).await.unwrap();
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    let reader = drain(output);
    // It is connected, so it has its password, and it waits, so it can be looked at.
    eventually("pg_dump waits for the lock", SOON, async || {
        let look = target.look(plan.application_name()).await.unwrap();
        look.waiting_for_lock
    })
    .await;
    let process = PathBuf::from(format!("/proc/{}", dump.pid()));
    let escaped = role.password.replace('\\', "\\\\").replace(':', "\\:");
    for file in ["cmdline", "environ"] {
        let shown = fs::read(process.join(file)).unwrap();
        let shown = String::from_utf8_lossy(&shown);
        assert!(!shown.is_empty());
        assert!(!shown.contains(&role.password), "{file}: {shown}");
        assert!(!shown.contains(&escaped), "{file}: {shown}");
    }
    let environ = fs::read(process.join("environ")).unwrap();
    let names: Vec<_> = environ
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            String::from_utf8_lossy(entry)
                .split_once('=')
                .map(|e| e.0.to_owned())
        })
        .filter(|name| !(name.starts_with("PG") || name == "LC_ALL"))
        .collect();
    assert!(names.is_empty(), "the daemon's own environment: {names:?}");

    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();
    dump.wait().await.unwrap();
    assert!(reader.await.unwrap().starts_with(b"PGDMP"));
}

#[tokio::test]
async fn a_wrong_password_is_reported_without_being_shown() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let mut role = cluster.role("SUPERUSER").await;
    role.password.push_str("-wrong");
    let plan = plan(
        &cluster.bin_dir(),
        &db.tcp_url(&role),
        BackupSpec::default(),
    )
    .await;
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    let fault = dump.wait().await.unwrap_err();
    drop(output);
    assert_eq!(
        fault.code().as_str(),
        "authentication_failed",
        "{}",
        fault.report()
    );
    assert!(!fault.is_transient());
    assert!(!fault.report().contains(&role.password));
}

#[tokio::test]
async fn secrets_in_stderr_are_masked_in_warnings_and_errors() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let role = cluster.role("").await;
    let fake = FakePgDump::new(15, b"PGDMP", Then::Exit(1)).says(&format!(
        "pg_dump: warning: it is {0}\npg_dump: error: not {0}, nor password=other\n",
        role.password
    ));
    let plan = plan(fake.dir(), &db.tcp_url(&role), BackupSpec::default()).await;
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    drain(output).await.unwrap();
    let fault = dump.wait().await.unwrap_err();
    assert_eq!(
        fault.report(),
        "pg_dump ended with exit status: 1: not ********, nor password=********"
    );
    assert_eq!(dump.warnings().texts, ["it is ********"]);
    assert_eq!(dump.warnings().total, 1);
    assert_eq!(fake.runs()[0].arguments, plan.arguments());
}

#[tokio::test]
async fn an_exit_after_output_that_is_not_0_is_no_clean_exit() {
    for (then, code) in [
        (Then::Exit(1), "dump_failed"),
        (Then::Exit(3), "dump_failed"),
        (Then::Signal(9), "dump_killed"),
        (Then::Signal(15), "dump_killed"),
    ] {
        let fake = FakePgDump::new(15, &[b'x'; 300_000], then.clone());
        let plan = plan(
            fake.dir(),
            "postgres://u@127.0.0.1:1/d",
            BackupSpec::default(),
        )
        .await;
        let (mut dump, output) = PgDump::start(&plan).unwrap();
        assert_eq!(drain(output).await.unwrap().len(), 300_000);
        let fault = dump.wait().await.unwrap_err();
        assert_eq!(fault.code().as_str(), code, "{then:?}");
        assert!(fault.is_transient());
    }
}

#[tokio::test]
async fn a_pg_dump_that_hangs_is_stopped_and_one_that_ignores_it_is_killed() {
    for (then, obeys) in [
        (Then::Hang, true),
        (Then::CloseAndHang, true),
        (Then::HangIgnoringSignals, false),
    ] {
        let fake = FakePgDump::new(15, b"PGDMP", then.clone());
        let plan = plan(
            fake.dir(),
            "postgres://u@127.0.0.1:1/d",
            BackupSpec::default(),
        )
        .await;
        let (mut dump, mut output) = PgDump::start(&plan).unwrap();
        output.next().await.unwrap();
        // The shell sets its traps after it wrote the bytes: wait for what it becomes.
        let command = PathBuf::from(format!("/proc/{}/comm", dump.pid()));
        eventually("the stand-in hangs", SOON, async || {
            (fs::read_to_string(&command).unwrap().trim() == "sleep").then_some(())
        })
        .await;
        let obeyed = dump.stop(Duration::from_millis(500)).await.unwrap();
        assert_eq!(obeyed, obeys, "{then:?}");
        assert!(!command.exists(), "{then:?}: it is reaped");
        let fault = dump.wait().await.unwrap_err();
        assert_eq!(fault.code().as_str(), "dump_stopped", "{then:?}");
    }
}

#[tokio::test]
async fn a_pg_dump_that_is_dropped_is_killed() {
    let fake = FakePgDump::new(15, b"PGDMP", Then::HangIgnoringSignals);
    let plan = plan(
        fake.dir(),
        "postgres://u@127.0.0.1:1/d",
        BackupSpec::default(),
    )
    .await;
    let (dump, _output) = PgDump::start(&plan).unwrap();
    let process = PathBuf::from(format!("/proc/{}", dump.pid()));
    assert!(process.exists());
    drop(dump);
    eventually("it is gone", SOON, async || {
        (!process.exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_leaves_no_session_within_2_s_although_nobody_reads() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    // More than the pipe takes, also when it is compressed.
    db.execute(
        "CREATE TABLE t AS SELECT md5(i::text) || md5((-i)::text) AS x FROM generate_series(1, 200000) i",
    )
    .await;
    let plan = plan(&cluster.bin_dir(), &db.url(), BackupSpec::default()).await;
    let target = Target::connect("t", plan.url()).await.unwrap();
    let (mut dump, _unread) = PgDump::start(&plan).unwrap();
    // The COPY stands still once pipe and sockets are full.
    let mut last = None;
    eventually("pg_dump is stalled in its COPY", SOON, async || {
        let copied = target
            .look(plan.application_name())
            .await
            .unwrap()
            .copy_bytes?;
        let before = last.replace(copied);
        (copied > 0 && before == last).then_some(())
    })
    .await;
    let begun = Instant::now();
    assert!(dump.stop(Duration::from_secs(2)).await.unwrap());
    assert!(
        target
            .sessions_gone(plan.application_name(), Duration::from_secs(2))
            .await
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn the_same_major_wins_then_the_nearest_newer_and_an_older_never() {
    let fakes: Vec<FakePgDump> = [900, 902, 903, 905]
        .into_iter()
        .map(|major| FakePgDump::new(major, b"", Then::Exit(1)))
        .collect();
    let directories: Vec<PathBuf> = fakes.iter().map(|fake| fake.dir().to_owned()).collect();

    let same = find(&directories, 903).await.unwrap();
    assert_eq!(same.path(), fakes[2].program());
    assert!(!same.is_newer_than(903));

    let newer = find(&directories, 901).await.unwrap();
    assert_eq!(newer.path(), fakes[1].program());
    assert!(newer.is_newer_than(901));

    let fault = find(&directories, 906).await.unwrap_err();
    assert_eq!(fault.code().as_str(), "pg_dump_too_old");
    assert!(!fault.is_transient());
    assert!(fault.to_string().contains("905"), "{fault}");
    assert!(
        fault.advice().unwrap().contains("postgresql-client-906"),
        "{fault:?}"
    );
}

#[tokio::test]
async fn the_package_of_the_servers_major_is_found_and_is_no_wrapper() {
    let cluster = cluster().await;
    let program = find(&[cluster.bin_dir()], cluster.major()).await.unwrap();
    assert_eq!(program.major(), cluster.major());
    let real = fs::canonicalize(program.path()).unwrap();
    assert_eq!(real.file_name().unwrap(), "pg_dump");
}

#[tokio::test]
async fn a_newer_program_is_named_as_a_caveat() {
    let fake = FakePgDump::new(15, b"", Then::Exit(1));
    let program = find(&[fake.dir().to_owned()], 15).await.unwrap();
    let plan = pgdumpd::dump::Plan::new(
        program,
        14,
        url("postgres://u@127.0.0.1:1/d"),
        "x".to_owned(),
        BackupSpec::default(),
        pgdumpd::compression::Compression::Auto,
        None,
        SOON,
    )
    .unwrap();
    assert_eq!(
        plan.caveats(),
        [
            "dumped by pg_dump 15 from a server of version 14: the server's own pg_restore may not read it"
        ]
    );
}

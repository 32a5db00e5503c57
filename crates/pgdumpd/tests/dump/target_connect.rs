//! Connecting to a target: what works, and what each refusal is called.

use crate::support::{SOON, drain, plan, url};
use pgdumpd::dump::{PgDump, find};
use pgdumpd::fault::Fault;
use pgdumpd::finding::{Finding, Severity};
use pgdumpd::server::Target;
use pgdumpd_client::BackupSpec;
use pgdumpd_testkit::{Cluster, FakePgDump, Then, cluster, eventually};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn refusal(address: &str) -> Fault {
    match Target::connect("app", &url(address)).await {
        Ok(_) => panic!("{address} lets us in"),
        Err(fault) => fault,
    }
}

fn assert_is(fault: &Fault, code: &str, transient: bool) {
    assert_eq!(fault.code().as_str(), code, "{}", fault.report());
    assert_eq!(fault.is_transient(), transient, "{}", fault.report());
    assert!(fault.advice().is_some(), "{}", fault.report());
    assert!(fault.to_string().contains("target app"), "{fault}");
}

#[tokio::test]
async fn an_extensions_configuration_tables_are_checked_and_its_others_are_not() {
    let db = cluster().await.database().await;
    db.execute(
        "CREATE TABLE settings (id int); CREATE TABLE inner_works (id int);
         ALTER EXTENSION plpgsql ADD TABLE settings; ALTER EXTENSION plpgsql ADD TABLE inner_works;
         UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'plpgsql'",
    )
    .await;
    let role = cluster().await.role("").await;
    let target = Target::connect("app", &url(&db.url_as(&role.name)))
        .await
        .unwrap();
    let program = find(&[cluster().await.bin_dir()], target.server_major()).await;
    let found = target.check(&program).await;
    let refused = |name: &str| found.iter().any(|finding| finding.what.contains(name));
    assert!(refused("settings"), "{found:#?}");
    assert!(!refused("inner_works"), "{found:#?}");
}

#[tokio::test]
async fn a_target_gives_its_version_its_number_and_its_neighbours() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let target = Target::connect("app", &url(&db.url())).await.unwrap();
    assert_eq!(target.server_major(), cluster.major());
    assert!(
        target
            .server_version()
            .starts_with(&cluster.major().to_string())
    );
    assert!(target.system_identifier().is_some());
    let databases = target.databases().await.unwrap();
    assert!(databases.iter().any(|name| name == db.name().as_bytes()));
    assert!(!databases.iter().any(|name| name.starts_with(b"template")));
}

#[tokio::test]
async fn what_a_person_must_mend_is_permanent() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let mut role = cluster.role("").await;

    let missing = db.url().replace(db.name(), "no_such_database");
    assert_is(&refusal(&missing).await, "database_missing", false);

    db.execute(&format!(
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        db.name()
    ))
    .await;
    assert_is(
        &refusal(&db.url_as(&role.name)).await,
        "permission_denied",
        false,
    );

    role.password.push_str("-wrong");
    let fault = refusal(&db.tcp_url(&role)).await;
    assert_is(&fault, "authentication_failed", false);
    assert!(
        !fault.report().contains(&role.password),
        "{}",
        fault.report()
    );
    let unknown = db.tcp_url(&role).replace(&role.name, "nobody");
    assert_is(&refusal(&unknown).await, "authentication_failed", false);
}

#[tokio::test]
async fn what_passes_by_itself_is_transient() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let full = cluster.role("CONNECTION LIMIT 0").await;
    assert_is(
        &refusal(&db.url_as(&full.name)).await,
        "too_many_connections",
        true,
    );
    assert_is(
        &refusal("postgres://u@127.0.0.1:1/d").await,
        "target_unreachable",
        true,
    );
    assert_is(
        &refusal("postgres://u@no-such-host.invalid/d").await,
        "target_unreachable",
        true,
    );
}

#[tokio::test]
async fn a_server_that_goes_down_ends_the_dump_and_a_later_look_works_again() {
    let cluster = Cluster::start_private(&[]).await;
    let db = cluster.database().await;
    db.execute("CREATE TABLE t (id int)").await;
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let plan = plan(&cluster.bin_dir(), &db.url(), BackupSpec::default()).await;
    let target = Target::connect("app", plan.url()).await.unwrap();
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    let reader = drain(output);
    eventually("it waits", SOON, async || {
        let look = target.look(plan.application_name()).await.unwrap();
        look.waiting_for_lock
    })
    .await;
    cluster.stop().await;
    let fault = dump.wait().await.unwrap_err();
    assert_eq!(
        fault.code().as_str(),
        "connection_lost",
        "{}",
        fault.report()
    );
    assert!(fault.is_transient());
    reader.await.unwrap();
    let fault = target.look(plan.application_name()).await.unwrap_err();
    assert_eq!(
        fault.code().as_str(),
        "target_unreachable",
        "{}",
        fault.report()
    );
    assert_is(&refusal(&db.url()).await, "target_unreachable", true);

    cluster.start().await;
    assert!(!target.look(plan.application_name()).await.unwrap().present);
}

#[tokio::test]
async fn sizes_name_every_table_with_rows_and_never_wait_for_a_lock() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute(
        "CREATE TABLE big AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 1000);
         ANALYZE big;
         CREATE TABLE fresh (id int);
         CREATE TABLE parts (id int) PARTITION BY RANGE (id);
         CREATE TABLE part PARTITION OF parts DEFAULT;
         CREATE SCHEMA pgdumpd; CREATE TABLE pgdumpd.backup_jobs (id int);",
    )
    .await;
    let target = Target::connect("app", &url(&db.url())).await.unwrap();
    let measured = target.size().await.unwrap();
    let names: Vec<_> = measured
        .tables
        .iter()
        .map(|table| (table.schema.as_str(), table.name.as_str()))
        .collect();
    assert_eq!(
        names,
        [("public", "big"), ("public", "fresh"), ("public", "part")]
    );
    assert!(measured.tables[0].bytes > 1_000_000);
    assert!(target.database_size().await.unwrap() > measured.tables[0].bytes);
    assert_eq!(measured.tables[0].estimated_rows, Some(1000));
    assert_eq!(measured.tables[1].estimated_rows, None);

    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE fresh IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let estimated = tokio::time::timeout(SOON, target.size())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(estimated.tables.len(), 3);
    assert!(estimated.tables[0].bytes > 1_000_000);
}

#[tokio::test]
async fn rows_of_a_table_that_was_never_analysed_are_those_that_the_server_counted() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let mut writer = db.connect().await;
    sqlx::raw_sql(
        "CREATE TABLE t (id int) WITH (autovacuum_enabled = off);
         INSERT INTO t SELECT generate_series(1, 700); DELETE FROM t WHERE id > 500",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    // A session's counts are seen by others when it ends.
    drop(writer);
    let target = Target::connect("app", &url(&db.url())).await.unwrap();
    eventually("the rows are counted", SOON, async || {
        let sizes = target.size().await.unwrap();
        (sizes.tables[0].estimated_rows == Some(500)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_role_without_privileges_fails_as_the_check_predicted() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let role = cluster.role("").await;
    db.execute(&format!(
        "CREATE TABLE secret (id int); CREATE TABLE open (id int); GRANT SELECT ON open TO {0};
         CREATE SEQUENCE counter;
         CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int); GRANT SELECT ON hidden.t TO {0};",
        role.name
    ))
    .await;
    let findings = check(cluster, &db.url_as(&role.name)).await;
    let texts: Vec<&str> = findings.iter().map(|found| found.what.as_str()).collect();
    let name = &role.name;
    assert_eq!(
        texts,
        [
            format!("{name} may not use the schemas of 1 relation (hidden.t)"),
            format!("{name} may not read 1 sequence (public.counter)"),
            format!("{name} may not read 1 table (public.secret)"),
        ]
    );
    assert!(
        findings
            .iter()
            .all(|found| found.code == "permission_denied" && found.severity == Severity::Error)
    );
    let fault = dump_fault(cluster, &db.url_as(&role.name)).await;
    assert_eq!(
        fault.code().as_str(),
        "permission_denied",
        "{}",
        fault.report()
    );
    assert!(!fault.is_transient());
}

#[tokio::test]
async fn row_security_fails_as_the_check_predicted() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let role = cluster.role("IN ROLE pg_read_all_data").await;
    db.execute("CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY;")
        .await;
    let findings = check(cluster, &db.url_as(&role.name)).await;
    let codes: Vec<&str> = findings.iter().map(|found| found.code.as_ref()).collect();
    assert_eq!(codes, ["row_security"], "{findings:?}");
    let fault = dump_fault(cluster, &db.url_as(&role.name)).await;
    assert_eq!(fault.code().as_str(), "row_security", "{}", fault.report());
    assert!(!fault.is_transient());
}

#[tokio::test]
async fn foreign_large_objects_fail_as_the_check_predicted() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let role = cluster.role("IN ROLE pg_read_all_data").await;
    db.execute("SELECT lo_from_bytea(0, 'x')").await;
    let findings = check(cluster, &db.url_as(&role.name)).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0]
            .what
            .ends_with("may not read the large objects of postgres")
    );
    let fault = dump_fault(cluster, &db.url_as(&role.name)).await;
    assert_eq!(
        fault.code().as_str(),
        "permission_denied",
        "{}",
        fault.report()
    );
}

#[tokio::test]
async fn a_subscription_is_predicted_and_warned_of() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let role = cluster.role("IN ROLE pg_read_all_data").await;
    db.execute(
        "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere password=geheim' PUBLICATION p
         WITH (connect = false, slot_name = NONE)",
    )
    .await;
    let findings = check(cluster, &db.url_as(&role.name)).await;
    let codes: Vec<_> = findings
        .iter()
        .map(|found| (found.code.as_ref(), found.severity))
        .collect();
    assert_eq!(
        codes,
        [("subscriptions_skipped", Severity::Warning)],
        "{findings:?}"
    );
    let plan = plan(
        &cluster.bin_dir(),
        &db.url_as(&role.name),
        BackupSpec::default(),
    )
    .await;
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    drain(output).await.unwrap();
    let exit = dump.wait().await.unwrap();
    assert_eq!(exit.warnings().total, 1);
    assert!(exit.warnings().texts[0].contains("subscriptions not dumped"));
}

#[tokio::test]
async fn nothing_is_found_where_all_is_well() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute("CREATE TABLE t (id serial); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        .await;
    assert_eq!(check(cluster, &db.url()).await, []);
}

#[tokio::test]
async fn a_failure_in_another_language_is_explained_by_asking_the_server() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let role = cluster.role("").await;
    db.execute("CREATE TABLE secret (id int)").await;
    let fake = FakePgDump::new(15, b"", Then::Exit(1))
        .says("pg_dump: error: query failed: FEHLER:  keine Berechtigung für Tabelle secret\n");
    let ended = async |address: &str| {
        let plan = plan(fake.dir(), address, BackupSpec::default()).await;
        let (mut dump, _output) = PgDump::start(&plan).unwrap();
        dump.wait().await.unwrap_err()
    };
    let address = db.url_as(&role.name);
    let target = Target::connect("app", &url(&address)).await.unwrap();
    let open = ended(&address).await;
    assert_eq!(open.code().as_str(), "dump_failed");
    let cause = target.cause_of(&open, true).await;
    assert!(cause.is_none(), "the table may be filtered out: {cause:?}");
    let fault = target.cause_of(&open, false).await.unwrap();
    assert_eq!(
        fault.code().as_str(),
        "permission_denied",
        "{}",
        fault.report()
    );
    assert!(!fault.is_transient());
    assert!(
        fault
            .report()
            .ends_with("keine Berechtigung für Tabelle secret"),
        "{}",
        fault.report()
    );

    let address = db.url();
    let target = Target::connect("app", &url(&address)).await.unwrap();
    let cause = target.cause_of(&ended(&address).await, false).await;
    assert!(cause.is_none(), "nothing is wrong for this role: {cause:?}");
}

async fn check(cluster: &Cluster, address: &str) -> Vec<Finding> {
    let target = Target::connect("app", &url(address)).await.unwrap();
    let program = find(&[cluster.bin_dir()], cluster.major()).await;
    target.check(&program).await
}

async fn dump_fault(cluster: &Cluster, address: &str) -> Fault {
    let plan = plan(&cluster.bin_dir(), address, BackupSpec::default()).await;
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    let reader = drain(output);
    let fault = dump.wait().await.unwrap_err();
    reader.await.unwrap();
    fault
}

/// Carries connections to a cluster, until a client sends this text: from then on nothing passes.
async fn silent_from(cluster: &'static Cluster, text: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", cluster.port())).await;
            let (mut server_read, mut server_write) = server.unwrap().into_split();
            let (mut client_read, mut client_write) = client.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut server_read, &mut client_write).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = client_read.read(&mut buffer).await {
                    if buffer[..read].windows(text.len()).any(|part| part == text) {
                        std::future::pending::<()>().await;
                    }
                    server_write.write_all(&buffer[..read]).await.unwrap();
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_network_that_goes_silent_while_filters_are_matched_ends_in_an_error() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    db.execute("CREATE TABLE orders (id int)").await;
    let role = cluster.role("").await;
    let spec = BackupSpec {
        exclude_tables: vec!["orders".to_owned()],
        ..BackupSpec::default()
    };
    let silent = async |text: &'static [u8]| {
        let port = silent_from(cluster, text).await;
        let address = db.url_on_port(&role, port);
        let target = Target::connect("app", &url(&address)).await.unwrap();
        // A statement may take 65 s.
        let matches = tokio::time::timeout(Duration::from_secs(90), target.matches(&spec));
        assert_is(
            &matches.await.unwrap().unwrap_err(),
            "target_unreachable",
            true,
        );
    };
    tokio::join!(silent(b"RESET search_path"), silent(b"relkind"));
}

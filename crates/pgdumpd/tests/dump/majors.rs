//! Every supported major: its pg_dump, its compression, and our questions to its server.

use crate::support::{SOON, drain, plan, url};
use pgdumpd::compression::Compression;
use pgdumpd::dump::{PgDump, dump_globals, find};
use pgdumpd::globals::Globals;
use pgdumpd::server::Target;
use pgdumpd_client::BackupSpec;
use pgdumpd_testkit::{cluster_of, eventually};
use tokio_util::sync::CancellationToken;

async fn a_server_of(major: u32, compression: Compression, version: [u8; 2]) {
    let Some(cluster) = cluster_of(major).await else {
        return;
    };
    let db = cluster.database().await;
    db.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
        .await;
    let target = Target::connect("app", &url(&db.url())).await.unwrap();
    assert_eq!(target.server_major(), major);
    assert_eq!(target.size().await.unwrap().tables.len(), 1);

    let program = find(&[cluster.bin_dir()], target.server_major()).await;
    assert_eq!(target.check(&program).await, []);
    let plan = plan(&cluster.bin_dir(), &db.url(), BackupSpec::default()).await;
    assert_eq!(&program.unwrap(), plan.program());
    assert_eq!(plan.compression(), compression);
    assert_eq!(plan.caveats(), Vec::<String>::new());

    // Held up by a lock, to be looked at.
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE t")
        .execute(&mut holder)
        .await
        .unwrap();
    let (mut dump, output) = PgDump::start(&plan).unwrap();
    let reader = drain(output);
    let wait = eventually("it waits", SOON, async || {
        let look = target.look(plan.application_name()).await.unwrap();
        look.waiting_for_lock
            .filter(|wait| wait.since_epoch_us.is_some())
    })
    .await;
    assert_eq!(wait.relation.as_deref(), Some("public.t"));
    assert_eq!(
        wait.blockers[0].query.as_deref(),
        Some("BEGIN; LOCK TABLE t")
    );
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();

    dump.wait().await.unwrap();
    let archive = reader.await.unwrap();
    assert_eq!(&archive[..5], b"PGDMP");
    assert_eq!(archive[5..7], version);

    for globals in [Globals::WithoutPasswords, Globals::WithPasswords] {
        let dumped = dump_globals(&plan, globals, SOON, &CancellationToken::new()).await;
        let text = String::from_utf8(dumped.unwrap().unwrap()).unwrap();
        assert!(text.contains("CREATE ROLE postgres;"), "{text}");
    }
}

#[tokio::test]
async fn postgresql_14_is_dumped_with_gzip() {
    a_server_of(14, Compression::Gzip(6), [1, 14]).await;
}

#[tokio::test]
async fn postgresql_15_is_dumped_with_gzip() {
    a_server_of(15, Compression::Gzip(6), [1, 14]).await;
}

#[tokio::test]
async fn postgresql_16_is_dumped_with_zstd() {
    a_server_of(16, Compression::Zstd(1), [1, 15]).await;
}

#[tokio::test]
async fn postgresql_17_is_dumped_with_zstd() {
    a_server_of(17, Compression::Zstd(1), [1, 16]).await;
}

#[tokio::test]
async fn postgresql_18_is_dumped_with_zstd() {
    a_server_of(18, Compression::Zstd(1), [1, 16]).await;
}

//! What a sample of a table says, against what the table holds.

use std::time::{Duration, Instant};

use crate::support::{SOON, url};
use futures_util::StreamExt as _;
use pgdumpd::server::{Sample, Sampler, Target};
use pgdumpd_testkit::{Database, cluster, cluster_of};

/// Above the server's own limits for a sample's statements, a table's lock included; far below any dump's.
const BOUND: Duration = Duration::from_secs(5);

async fn target(database: &Database) -> Target {
    Target::connect("app", &url(&database.url())).await.unwrap()
}

/// The oid of a table, and the size of its files.
async fn table(target: &Target, name: &str) -> (i64, i64) {
    let sizes = target.size().await.unwrap();
    let table = sizes.tables.into_iter().find(|table| table.name == name);
    let table = table.unwrap();
    (table.oid, table.bytes)
}

async fn sample(database: &Database, name: &str) -> Sample {
    let target = target(database).await;
    let (oid, bytes) = table(&target, name).await;
    let mut sampler = target.sampler().await.unwrap();
    sampler.table(oid, bytes).await.unwrap().unwrap()
}

/// Rows and bytes as COPY writes them.
async fn truth(database: &Database, name: &str) -> (f64, f64) {
    let mut connection = database.connect().await;
    let mut copied = connection
        .copy_out_raw(&format!("COPY {name} TO STDOUT"))
        .await
        .unwrap();
    let (mut rows, mut bytes) = (0, 0);
    while let Some(piece) = copied.next().await {
        let piece = piece.unwrap();
        rows += piece.iter().filter(|byte| **byte == b'\n').count();
        bytes += piece.len();
    }
    (rows as f64, bytes as f64)
}

/// Asserts that rows and bytes of a sample of the table are off by no more than this share.
async fn assert_is_true(database: &Database, name: &str, tolerance: f64) {
    let (rows, bytes) = truth(database, name).await;
    let sample = sample(database, name).await;
    let off = |said: f64, is: f64| (said / is - 1.0).abs();
    assert!(
        off(sample.rows, rows) < tolerance,
        "{name}: {sample:?}, not {rows} rows"
    );
    assert!(
        off(sample.dump_bytes, bytes) < tolerance,
        "{name}: {sample:?}, not {bytes} bytes"
    );
}

/// Tables of every kind: narrow, wide, with escapes and NULLs, compressed, in TOAST, with rows that are gone.
const TABLES: &str = "
    CREATE TABLE narrow AS SELECT i AS a, hashint4(i) AS b, i % 7 AS c FROM generate_series(1, 200000) AS i;
    CREATE TABLE sparse AS SELECT i AS a, CASE WHEN i % 3 = 0 THEN i::text END AS b, NULL::jsonb AS c, i % 2 = 0 AS d
        FROM generate_series(1, 100000) AS i;
    CREATE TABLE bytes AS SELECT i AS id, sha512(i::text::bytea) AS data FROM generate_series(1, 50000) AS i;
    CREATE TABLE escaped AS SELECT repeat(E'a\\tb\\nc\\\\', 3) || i AS body FROM generate_series(1, 50000) AS i;
    CREATE TABLE repetitive AS SELECT i AS id, repeat('what you cannot lose; ', 20 + i % 300) AS body
        FROM generate_series(1, 20000) AS i;
    -- Of 32 KB that do not compress, in TOAST.
    CREATE TABLE toasted AS SELECT i AS id,
        (SELECT string_agg(sha512((i * 1000 + j)::text::bytea), '') FROM generate_series(1, 500) AS j) AS data
        FROM generate_series(1, 300) AS i;
    CREATE TABLE bloated AS SELECT i AS id, md5(i::text) AS body FROM generate_series(1, 200000) AS i;
    DELETE FROM bloated WHERE hashint4(id) % 10 IN (0, 1, 2);
    CREATE TABLE computed (id int, twice int GENERATED ALWAYS AS (id * 2) STORED, \"odd {table} \"\"name\" text);
    INSERT INTO computed (id, \"odd {table} \"\"name\") SELECT i, 'x' FROM generate_series(1, 50000) AS i;
    CREATE TABLE empty (id int);
";

#[tokio::test]
async fn a_sample_measures_rows_and_copy_bytes_of_every_kind_of_table_analysed_or_not() {
    let db = cluster().await.database().await;
    db.execute(TABLES).await;
    for analysed in [false, true] {
        if analysed {
            db.execute("ANALYZE").await;
        }
        for name in [
            "narrow", "sparse", "bytes", "escaped", "bloated", "computed",
        ] {
            assert_is_true(&db, name, 0.1).await;
        }
        // Some blocks hold ten times as many rows as others; or few rows are read.
        for name in ["repetitive", "toasted"] {
            assert_is_true(&db, name, 0.2).await;
        }
        assert_eq!(sample(&db, "empty").await, Sample::default());
    }
}

#[tokio::test]
async fn the_text_of_a_sample_is_what_copy_writes() {
    let db = cluster().await.database().await;
    db.execute(
        r"CREATE TABLE t AS SELECT 1 AS a, E'b\t\\c\n' AS b, true AS c, '\x00ff'::bytea AS d",
    )
    .await;
    let sample = sample(&db, "t").await;
    let text = String::from_utf8(sample.text.clone()).unwrap();
    assert_eq!(text, "1\tb\\t\\\\c\\n\tt\t\\\\x00ff\n");
    assert_eq!(sample.dump_bytes, text.len() as f64);
    assert_eq!(sample.rows, 1.0);
    // Somebody's rows: no log shows them.
    assert!(!format!("{sample:?}").contains("00ff"));
    assert!(!format!("{sample:?}").contains("text"), "{sample:?}");
}

#[tokio::test]
async fn large_objects_are_sampled_by_whoever_may_read_them() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let owner = cluster.role("").await;
    db.execute(&format!(
        "SELECT lo_from_bytea(0, (SELECT string_agg(sha512((i * 1000 + j)::text::bytea), '')
                                  FROM generate_series(1, 100 + i * 10) AS j))
         FROM generate_series(1, 60) AS i;
         DO $$ DECLARE object oid; BEGIN
             FOR object IN SELECT oid FROM pg_largeobject_metadata LOOP
                 EXECUTE format('ALTER LARGE OBJECT %s OWNER TO {}', object);
             END LOOP;
         END $$",
        owner.name
    ))
    .await;
    let bytes: f64 = (1..=60).map(|i| f64::from(100 + i * 10) * 64.0).sum();
    // One may read the catalog that holds them, the other opens them.
    for (address, tolerance) in [(db.url(), 0.1), (db.url_as(&owner.name), 0.35)] {
        let target = Target::connect("app", &url(&address)).await.unwrap();
        let mut sampler = target.sampler().await.unwrap();
        let sample = sampler.large_objects().await.unwrap().unwrap();
        assert_eq!(sample.rows, 60.0);
        assert!(
            (sample.dump_bytes / bytes - 1.0).abs() < tolerance,
            "{sample:?}, not {bytes}"
        );
        assert!(sample.text.len() > 64 * 1024, "{}", sample.text.len());
    }
    let stranger = cluster.role("").await;
    let target = Target::connect("app", &url(&db.url_as(&stranger.name)))
        .await
        .unwrap();
    let fault = target
        .sampler()
        .await
        .unwrap()
        .large_objects()
        .await
        .unwrap_err();
    assert_eq!(
        fault.code().as_str(),
        "permission_denied",
        "{}",
        fault.report()
    );
}

#[tokio::test]
async fn a_table_that_cannot_be_sampled_says_why_and_keeps_no_other_from_it() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let role = cluster.role("").await;
    db.execute(&format!(
        "CREATE TABLE secret AS SELECT 1 AS id; CREATE TABLE locked AS SELECT 1 AS id; CREATE TABLE open AS SELECT 1 AS id;
         CREATE TABLE guarded AS SELECT 1 AS id; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE TABLE gone AS SELECT 1 AS id; CREATE TABLE parts (id int) PARTITION BY RANGE (id);
         GRANT SELECT ON locked, open, guarded TO {}",
        role.name
    ))
    .await;
    let as_owner = target(&db).await;
    let mut oids = Vec::new();
    for name in ["secret", "locked", "guarded", "gone", "open"] {
        oids.push(table(&as_owner, name).await.0);
    }
    db.execute("DROP TABLE gone").await;
    let mut holder = db.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();

    let target = Target::connect("app", &url(&db.url_as(&role.name)))
        .await
        .unwrap();
    let mut sampler = target.sampler().await.unwrap();
    let began = Instant::now();
    let mut found = Vec::new();
    for oid in oids {
        let sampled = tokio::time::timeout(SOON, sampler.table(oid, 8192))
            .await
            .unwrap();
        found.push(match sampled {
            Ok(sample) => sample.map_or("nothing".to_owned(), |sample| sample.rows.to_string()),
            Err(fault) => {
                assert!(Sampler::can_go_on_after(&fault), "{}", fault.report());
                fault.code().to_string()
            }
        });
    }
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(
        found,
        [
            "permission_denied",
            "lock_not_available",
            "permission_denied",
            "nothing",
            "1"
        ]
    );
}

#[tokio::test]
async fn rows_too_long_to_be_read_for_a_percentage_are_left_alone() {
    let db = cluster().await.database().await;
    db.execute(
        "CREATE TABLE t (id int, data bytea); ALTER TABLE t ALTER data SET STORAGE EXTERNAL;
         INSERT INTO t SELECT i, convert_to(repeat('x', 4000000), 'UTF8') FROM generate_series(1, 6) AS i",
    )
    .await;
    let target = target(&db).await;
    let (oid, bytes) = table(&target, "t").await;
    let mut sampler = target.sampler().await.unwrap();
    assert_eq!(sampler.table(oid, bytes).await.unwrap(), None);
}

#[tokio::test]
async fn large_objects_without_a_byte_are_not_sampled() {
    let db = cluster().await.database().await;
    let target = target(&db).await;
    db.execute("SELECT lo_create(0) FROM generate_series(1, 50)")
        .await;
    let mut sampler = target.sampler().await.unwrap();
    assert_eq!(sampler.large_objects().await.unwrap(), None);
    drop(sampler);
    // Others had bytes, and what says where room is in the files is left.
    db.execute(
        "SELECT lo_put(oid, 0, repeat('x', 4000)::bytea) FROM pg_largeobject_metadata;
         SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
         SELECT lo_create(0) FROM generate_series(1, 50)",
    )
    .await;
    db.execute("VACUUM pg_largeobject").await;
    let (pages, room): (i64, i64) = sqlx::query_as(
        "SELECT pg_relation_size('pg_largeobject'), pg_relation_size('pg_largeobject', 'fsm')",
    )
    .fetch_one(&mut db.connect().await)
    .await
    .unwrap();
    assert!(pages == 0 && room > 0, "{pages}, {room}");
    let mut sampler = target.sampler().await.unwrap();
    assert_eq!(sampler.large_objects().await.unwrap(), None);
}

#[tokio::test]
async fn servers_of_all_majors_are_sampled() {
    for major in [14, 15, 16, 17, 18] {
        let Some(cluster) = cluster_of(major).await else {
            continue;
        };
        let db = cluster.database().await;
        db.execute(
            "CREATE TABLE narrow AS SELECT i AS a, i % 7 AS b FROM generate_series(1, 100000) AS i;
             SELECT lo_from_bytea(0, convert_to(repeat('x', 100000), 'UTF8'))",
        )
        .await;
        assert_is_true(&db, "narrow", 0.1).await;
        let target = target(&db).await;
        let mut sampler = target.sampler().await.unwrap();
        let objects = sampler.large_objects().await.unwrap().unwrap();
        assert_eq!(
            (objects.rows, objects.dump_bytes),
            (1.0, 100_000.0),
            "{major}"
        );
    }
}

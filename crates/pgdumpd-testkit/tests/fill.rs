//! The sample data is about as large as asked for.

use std::process::Command;

use pgdumpd_testkit::{cluster, fill};

#[tokio::test]
async fn ten_megabytes_are_about_ten_megabytes() {
    let cluster = cluster().await;
    let db = cluster.database().await;
    fill(&db, 10).await;
    let dump = Command::new(cluster.bin("pg_dump"))
        .args(["-d", &db.url()])
        .output()
        .unwrap();
    let megabytes = dump.stdout.len() as f64 / 1e6;
    // The odd corners, which are always there, take 1.3 MB.
    assert!((10.0..13.0).contains(&megabytes), "{megabytes} MB");
}

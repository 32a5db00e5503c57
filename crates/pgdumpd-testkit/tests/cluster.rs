//! The clusters do what the other tests rely on.

use std::process::Command;
use std::time::Duration;

use pgdumpd_testkit::{Cluster, cluster, cluster_of, eventually};
use sqlx::{Connection as _, PgConnection};

async fn one(url: &str, sql: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar(sql).fetch_one(&mut connection).await
}

#[tokio::test]
async fn each_database_is_new_and_empty() {
    let first = cluster().await.database().await;
    first
        .execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
        .await;
    let second = cluster().await.database().await;
    assert_ne!(first.name(), second.name());
    let missing = one(
        &second.url(),
        "SELECT coalesce(to_regclass('t')::text, 'none')",
    )
    .await;
    assert_eq!(missing.unwrap(), "none");
}

#[tokio::test]
async fn a_role_reaches_its_database_over_tcp_only_with_its_password() {
    let role = cluster().await.role("").await;
    let db = cluster().await.database().await;
    let user = one(&db.tcp_url(&role), "SELECT session_user::text")
        .await
        .unwrap();
    assert_eq!(user, role.name);
    let wrong = pgdumpd_testkit::Role {
        password: "wrong".into(),
        ..role
    };
    let refused = one(&db.tcp_url(&wrong), "SELECT session_user::text")
        .await
        .unwrap_err();
    let code = refused
        .as_database_error()
        .and_then(|error| error.code().map(|c| c.to_string()));
    assert_eq!(code.as_deref(), Some("28P01"));
}

#[tokio::test]
async fn libpq_reads_the_urls_too() {
    let cluster = cluster().await;
    let role = cluster.role("").await;
    let db = cluster.database().await;
    for url in [db.url(), db.tcp_url(&role)] {
        let output = Command::new(cluster.bin("psql"))
            .args(["-XAtc", "SELECT 41 + 1", &url])
            .output();
        let output = output.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "42\n",
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn a_private_cluster_stops_dies_and_starts_again_with_its_data() {
    let cluster = Cluster::start_private(&[("work_mem", "5MB")]).await;
    let db = cluster.database().await;
    assert_eq!(one(&db.url(), "SHOW work_mem").await.unwrap(), "5MB");
    db.execute("CREATE TABLE t (id int)").await;
    for kill in [false, true] {
        if kill {
            cluster.kill().await
        } else {
            cluster.stop().await
        }
        assert!(one(&db.url(), "SELECT ''").await.is_err());
        cluster.start().await;
        db.execute("INSERT INTO t VALUES (1)").await;
    }
    assert_eq!(
        one(&db.url(), "SELECT count(*)::text FROM t")
            .await
            .unwrap(),
        "2"
    );
}

#[tokio::test]
async fn a_dropped_private_cluster_leaves_no_server_and_no_files() {
    let cluster = Cluster::start_private(&[]).await;
    let directory = cluster.directory().to_owned();
    let pid = std::fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    let cwd = format!("/proc/{}/cwd", pid.lines().next().unwrap());
    assert_eq!(std::fs::read_link(&cwd).unwrap(), directory.join("data"));
    drop(cluster);
    eventually("the folder is gone", Duration::from_secs(30), async || {
        (!directory.exists()).then_some(())
    })
    .await;
    // A process that waits to be reaped, or another with that pid, has no such folder.
    let cwd = std::fs::read_link(&cwd).unwrap_or_default();
    assert!(!cwd.starts_with(&directory), "the server still runs");
}

#[tokio::test]
async fn the_cluster_of_a_major_is_of_that_major() {
    for major in 14..=18 {
        let Some(cluster) = cluster_of(major).await else {
            continue;
        };
        let db = cluster.database().await;
        let version = one(&db.url(), "SHOW server_version_num").await.unwrap();
        assert_eq!(version.parse::<u32>().unwrap() / 10_000, major);
        assert_eq!(cluster.major(), major);
    }
}

//! One address leads sqlx and libpq to the same place.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use pgdumpd::database_url::DatabaseUrl;
use pgdumpd_testkit::{Cluster, cluster};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{ConnectOptions, Connection};

const WHERE: &str = "SELECT concat_ws(' ', current_database(), current_user, \
     coalesce(host(inet_server_addr()), 'socket'), current_setting('port'))";

async fn by_sqlx(url: &DatabaseUrl) -> String {
    let mut connection = url.connect_options("pgdumpd test").connect().await.unwrap();
    let found = sqlx::query_scalar(WHERE).fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    found.unwrap()
}

/// Runs psql as pg_dump will be run: a cleared environment, the password file on standard input.
fn by_libpq(cluster: &Cluster, url: &DatabaseUrl) -> Result<String, String> {
    let mut command = Command::new(cluster.bin("psql"));
    command
        .env_clear()
        .envs(url.libpq_environment())
        .args(["-XAtw", "-c", WHERE]);
    if let Some(line) = url.password_file_line() {
        let file = rustix::fs::memfd_create("pgpass", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::fchmod(file.as_fd(), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let mut file = std::fs::File::from(file);
        file.write_all(line.expose_secret().as_bytes()).unwrap();
        command
            .env("PGPASSFILE", "/proc/self/fd/0")
            .stdin(Stdio::from(file));
    }
    let output = command.output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

#[tokio::test]
async fn both_find_the_same_database_over_a_socket() {
    let cluster = cluster().await;
    let database = cluster.database().await;
    let socket = cluster.socket_dir().display();
    let (name, port) = (database.name(), cluster.port());
    let expected = format!("{name} postgres socket {port}");
    for text in [
        database.url(),
        format!("postgres://postgres@/{name}?host={socket}&port={port}"),
        // libpq ignores sslmode on a socket; sqlx must not insist on it.
        format!("{}?sslmode=require", database.url()),
    ] {
        let url = DatabaseUrl::parse(&text).unwrap();
        assert_eq!(by_sqlx(&url).await, expected, "{url}");
        assert_eq!(by_libpq(cluster, &url).unwrap(), expected, "{url}");
    }
}

#[tokio::test]
async fn both_send_the_same_password_over_tcp() {
    let cluster = cluster().await;
    let database = cluster.database().await;
    let role = cluster.role("").await;
    let awkward = r"p:a\s*s/w@o#r?d %&= é";
    let (name, user, port) = (database.name(), &role.name, cluster.port());
    let quoted = awkward.replace('\'', "''");
    database
        .execute(&format!("ALTER ROLE {user} PASSWORD '{quoted}'"))
        .await;
    let expected = format!("{name} {user} 127.0.0.1 {port}");
    for query in ["", "?sslmode=disable", "?connect_timeout=5"] {
        let text = format!("postgres://{user}@127.0.0.1:{port}/{name}{query}");
        let url = DatabaseUrl::parse(&text).unwrap();
        let url = url.with_password(SecretString::from(awkward));
        assert_eq!(by_sqlx(&url).await, expected, "{url}");
        assert_eq!(by_libpq(cluster, &url).unwrap(), expected, "{url}");
    }
    let wrong = format!("postgres://{user}:wrong@127.0.0.1:{port}/{name}");
    let wrong = DatabaseUrl::parse(&wrong).unwrap();
    assert!(wrong.connect_options("test").connect().await.is_err());
    assert!(by_libpq(cluster, &wrong).is_err());
}

#[tokio::test]
async fn a_demand_for_tls_is_refused_by_both_where_the_server_has_none() {
    let cluster = cluster().await;
    let database = cluster.database().await;
    let role = cluster.role("").await;
    let text = format!("{}?sslmode=require", database.tcp_url(&role));
    let url = DatabaseUrl::parse(&text).unwrap();
    let error = url.connect_options("test").connect().await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
    let error = by_libpq(cluster, &url).unwrap_err();
    assert!(error.contains("does not support SSL"), "{error}");
}

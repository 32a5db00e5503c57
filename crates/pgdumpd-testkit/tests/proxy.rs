//! The proxy does to connections what it says.

use std::time::Duration;

use pgdumpd_testkit::{Database, Proxy, cluster};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
/// How long nothing must happen before a test believes that it never will.
const QUIET: Duration = Duration::from_millis(300);

async fn through_proxy() -> (Database, Proxy, String) {
    let cluster = cluster().await;
    let db = cluster.database().await;
    let proxy = Proxy::start(cluster).await;
    let url = db.url_on_port(&cluster.role("").await, proxy.port());
    (db, proxy, url)
}

async fn answer(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT 42").fetch_one(connection).await
}

#[tokio::test]
async fn a_cut_ends_open_connections_and_refuses_new_ones_until_healed() {
    let (_db, proxy, url) = through_proxy().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    assert_eq!(answer(&mut connection).await.unwrap(), 42);

    proxy.cut();
    let lost = timeout(LONG, answer(&mut connection))
        .await
        .expect("a cut is noticed");
    assert!(matches!(lost, Err(sqlx::Error::Io(_))), "{lost:?}");
    let refused = timeout(LONG, PgConnection::connect(&url))
        .await
        .expect("a refusal is quick");
    assert!(refused.is_err());

    proxy.heal();
    let mut again = PgConnection::connect(&url).await.unwrap();
    assert_eq!(answer(&mut again).await.unwrap(), 42);
}

#[tokio::test]
async fn a_cut_that_is_healed_at_once_still_ends_connections() {
    let (_db, proxy, url) = through_proxy().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    proxy.cut();
    proxy.heal();
    let lost = timeout(LONG, answer(&mut connection))
        .await
        .expect("a cut is noticed");
    assert!(lost.is_err());
}

#[tokio::test]
async fn a_held_connection_is_silent_and_goes_on_when_healed() {
    let (_db, proxy, url) = through_proxy().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    proxy.hold();
    let mut waiting = Box::pin(answer(&mut connection));
    assert!(
        timeout(QUIET, &mut waiting).await.is_err(),
        "an answer came through a held proxy"
    );
    proxy.heal();
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), 42);
}

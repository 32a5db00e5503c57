//! Enqueueing and waiting, and the transactions that it refuses.

use pgdumpd_client::{
    BackupRequest, ClientError, JobState, cancel, enqueue_and_wait, enqueue_and_wait_on,
};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use crate::queue::{DEADLINE, Queue};

#[tokio::test]
async fn waiting_on_a_pool_gives_the_end() {
    let queue = Queue::new().await;
    let pool = queue.pool.clone();
    let wait =
        tokio::spawn(async move { enqueue_and_wait(&pool, &BackupRequest::new("shop")).await });
    let id = queue.only_job().await;
    queue.start(id).await;
    queue.fail(id).await;
    let status = timeout(DEADLINE, wait)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((status.id, status.state), (id, JobState::Failed));
    assert_eq!(status.error_code.as_deref(), Some("dump_failed"));
}

#[tokio::test]
async fn waiting_on_a_connection_gives_the_end() {
    let queue = Queue::new().await;
    let mut connection = queue.database.connect().await;
    let wait = tokio::spawn(async move {
        enqueue_and_wait_on(&mut connection, &BackupRequest::new("shop")).await
    });
    let id = queue.only_job().await;
    cancel(&queue.pool, id).await.unwrap();
    let status = timeout(DEADLINE, wait)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((status.id, status.state), (id, JobState::Cancelled));
}

async fn assert_refused(queue: &Queue, connection: &mut PgConnection) {
    let request = BackupRequest::new("shop");
    let refused = timeout(DEADLINE, enqueue_and_wait_on(connection, &request)).await;
    let error = refused.expect("refused at once").unwrap_err();
    assert!(matches!(error, ClientError::InTransaction), "{error:?}");
    assert!(error.hint().is_some());
    // Also what the transaction itself would see.
    sqlx::raw_sql("ROLLBACK").execute(connection).await.unwrap();
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn waiting_inside_a_transaction_of_sqlx_is_refused() {
    let queue = Queue::new().await;
    let mut connection = queue.database.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    assert_refused(&queue, &mut transaction).await;
}

#[tokio::test]
async fn waiting_inside_a_transaction_that_plain_sql_began_is_refused() {
    let queue = Queue::new().await;
    for begin in [
        "BEGIN",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "BEGIN; SAVEPOINT a",
        "BEGIN; SELECT 1",
    ] {
        let mut connection = queue.database.connect().await;
        sqlx::raw_sql(begin).execute(&mut connection).await.unwrap();
        assert_refused(&queue, &mut connection).await;
    }
}

#[tokio::test]
async fn waiting_inside_a_failed_transaction_is_refused() {
    let queue = Queue::new().await;
    let mut connection = queue.database.connect().await;
    let failed = sqlx::raw_sql("BEGIN; SELECT 1/0")
        .execute(&mut connection)
        .await;
    assert!(failed.is_err());
    assert_refused(&queue, &mut connection).await;
}

#[tokio::test]
async fn waiting_on_a_pool_that_gives_out_an_open_transaction_is_refused() {
    let queue = Queue::new().await;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect(&queue.database.url())
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN").execute(&pool).await.unwrap();
    let request = BackupRequest::new("shop");
    let refused = timeout(DEADLINE, enqueue_and_wait(&pool, &request)).await;
    let error = refused.expect("refused at once").unwrap_err();
    assert!(matches!(error, ClientError::InTransaction), "{error:?}");
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn a_connection_whose_transaction_has_ended_may_wait() {
    let queue = Queue::new().await;
    let mut connection = queue.database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT 1; COMMIT")
        .execute(&mut connection)
        .await
        .unwrap();
    let transaction = connection.begin().await.unwrap();
    transaction.rollback().await.unwrap();
    let wait = tokio::spawn(async move {
        enqueue_and_wait_on(&mut connection, &BackupRequest::new("shop")).await
    });
    let id = queue.only_job().await;
    cancel(&queue.pool, id).await.unwrap();
    assert!(
        timeout(DEADLINE, wait)
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .is_some()
    );
}

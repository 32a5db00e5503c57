//! Who may ask, and what a missing queue or a missing grant looks like.

use pgdumpd_client::{
    BackupRequest, Cancelled, ClientError, ListFilter, cancel, enqueue, list, status, watch,
};
use pgdumpd_testkit::cluster;
use sqlx::PgPool;

use crate::queue::Queue;

/// A pool of a role that is no superuser and has what a producer is granted.
async fn producer(queue: &Queue) -> PgPool {
    let role = cluster().await.role("").await;
    queue
        .database
        .execute(&format!("SELECT pgdumpd.grant_producer('{}')", role.name))
        .await;
    connect(queue, &role.name).await
}

async fn connect(queue: &Queue, role: &str) -> PgPool {
    PgPool::connect(&queue.database.url_as(role)).await.unwrap()
}

#[tokio::test]
async fn a_producer_can_do_everything_with_its_own_jobs() {
    let queue = Queue::new().await;
    let pool = producer(&queue).await;
    let job = enqueue(&pool, &BackupRequest::new("shop")).await.unwrap();
    assert!(status(&pool, job.id).await.unwrap().is_some());
    assert_eq!(list(&pool, &ListFilter::default()).await.unwrap().len(), 1);
    assert!(watch(&pool, job.id).next().await.unwrap().is_some());
    assert_eq!(cancel(&pool, job.id).await.unwrap(), Cancelled::Cancelled);
}

#[tokio::test]
async fn a_producer_finds_no_job_of_another() {
    let queue = Queue::new().await;
    let (first, second) = (producer(&queue).await, producer(&queue).await);
    let job = enqueue(&first, &BackupRequest::new("shop")).await.unwrap();
    assert!(status(&second, job.id).await.unwrap().is_none());
    assert!(
        list(&second, &ListFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(watch(&second, job.id).next().await.unwrap().is_none());
    assert_eq!(cancel(&second, job.id).await.unwrap(), Cancelled::NotFound);
    let seen = status(&first, job.id).await.unwrap().unwrap();
    assert!(!seen.state.has_ended());
}

#[tokio::test]
async fn a_key_is_its_roles_own_and_an_id_is_everybodys() {
    let queue = Queue::new().await;
    let (first, second) = (producer(&queue).await, producer(&queue).await);
    let request = BackupRequest::new("shop").idempotency_key("nightly");
    enqueue(&first, &request).await.unwrap();

    let same_key = BackupRequest::new("shop").idempotency_key("nightly");
    let own = enqueue(&second, &same_key).await.unwrap();
    assert_eq!(own.id, same_key.id());
    assert!(own.is_new);

    let same_id = BackupRequest::new("shop").with_id(request.id());
    let error = enqueue(&second, &same_id).await.unwrap_err();
    assert!(matches!(error, ClientError::IdTaken { .. }), "{error:?}");
}

#[tokio::test]
async fn a_role_that_has_as_many_jobs_as_it_may_have_is_told_what_to_do() {
    let queue = Queue::new().await;
    let pool = producer(&queue).await;
    queue
        .database
        .execute("UPDATE pgdumpd.quotas SET queued_jobs = 1")
        .await;
    enqueue(&pool, &BackupRequest::new("shop")).await.unwrap();
    let error = enqueue(&pool, &BackupRequest::new("shop"))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Quota { .. }), "{error:?}");
    assert!(!error.is_transient());
    assert!(error.hint().unwrap().contains("pgdumpd.quotas"));
}

#[tokio::test]
async fn a_role_without_grants_is_told_which_it_needs() {
    let queue = Queue::new().await;
    let role = cluster().await.role("").await;
    let pool = connect(&queue, &role.name).await;
    let request = BackupRequest::new("shop");
    let error = enqueue(&pool, &request).await.unwrap_err();
    assert!(matches!(error, ClientError::Denied { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--grant-producer"));
    let error = status(&pool, request.id()).await.unwrap_err();
    assert!(matches!(error, ClientError::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_without_a_queue_is_told_how_to_get_one() {
    let pool = cluster().await.database().await.pool().await;
    let request = BackupRequest::new("shop");
    let errors = [
        enqueue(&pool, &request).await.unwrap_err(),
        status(&pool, request.id()).await.unwrap_err(),
        cancel(&pool, request.id()).await.unwrap_err(),
        list(&pool, &ListFilter::default()).await.unwrap_err(),
        watch(&pool, request.id()).next().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, ClientError::NotMigrated(_)), "{error:?}");
        assert!(error.hint().unwrap().contains("pgdumpd migrate"));
    }
}

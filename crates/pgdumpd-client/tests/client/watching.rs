//! Following a job.

use std::time::Duration;

use pgdumpd_client::{BackupRequest, JobState, JobStatus, Watch, cancel, enqueue, watch};
use pgdumpd_testkit::{Cluster, eventually};
use tokio::time::timeout;
use uuid::Uuid;

use crate::queue::{DEADLINE, Queue};

/// So long that only a notification can be in time.
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(20);

async fn next(watch: &mut Watch) -> Option<JobStatus> {
    timeout(DEADLINE, watch.next())
        .await
        .expect("a change shows in time")
        .unwrap()
}

async fn queued(queue: &Queue) -> Uuid {
    enqueue(&queue.pool, &BackupRequest::new("shop"))
        .await
        .unwrap()
        .id
}

/// Watches a job from queued to succeeded; progress is seen only by polling.
async fn follow(queue: &Queue, id: Uuid, mut watch: Watch, sees_progress: bool) {
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Queued);
    queue.start(id).await;
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Running);
    queue.progress(id).await;
    if sees_progress {
        let status = next(&mut watch).await.unwrap();
        assert_eq!(
            (status.progress, status.message.as_deref()),
            (40.0, Some("half of it"))
        );
    }
    queue.succeed(id).await;
    let last = next(&mut watch).await.unwrap();
    assert_eq!((last.state, last.progress), (JobState::Succeeded, 100.0));
    assert!(next(&mut watch).await.is_none());
    assert!(next(&mut watch).await.is_none());
}

#[tokio::test]
async fn notifications_alone_show_every_change_of_state() {
    let queue = Queue::new().await;
    let id = queued(&queue).await;
    follow(&queue, id, watch(&queue.pool, id).poll_every(NEVER), false).await;
}

#[tokio::test]
async fn polling_alone_shows_every_change() {
    let queue = Queue::new().await;
    let id = queued(&queue).await;
    let watch = watch(&queue.pool, id).without_listen().poll_every(SOON);
    follow(&queue, id, watch, true).await;
    let listening: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .fetch_one(&queue.pool)
    .await
    .unwrap();
    assert_eq!(listening, 0);
}

#[tokio::test]
async fn notifications_that_are_switched_off_are_not_missed() {
    let queue = Queue::new().await;
    let database = queue.database.name();
    queue
        .database
        .execute(&format!(
            "ALTER DATABASE {database} SET pgdumpd.notify = off"
        ))
        .await;
    let queue = Queue {
        pool: queue.database.pool().await,
        ..queue
    };
    let id = queued(&queue).await;
    follow(&queue, id, watch(&queue.pool, id).poll_every(SOON), true).await;
}

#[tokio::test]
async fn a_watch_works_where_no_connection_is_left_for_listening() {
    let queue = Queue::new().await;
    let id = queued(&queue).await;
    let role = pgdumpd_testkit::cluster()
        .await
        .role("CONNECTION LIMIT 1")
        .await;
    queue
        .database
        .execute(&format!("SELECT pgdumpd.grant_reader('{}')", role.name))
        .await;
    let only_one = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect(&queue.database.url_as(&role.name))
        .await
        .unwrap();
    let refused = sqlx::PgPool::connect(&queue.database.url_as(&role.name)).await;
    assert!(refused.is_err(), "the limit holds");
    follow(&queue, id, watch(&only_one, id).poll_every(SOON), true).await;
}

#[tokio::test]
async fn a_watch_survives_the_loss_of_all_its_connections() {
    let queue = Queue::new().await;
    let id = queued(&queue).await;
    let mut watch = watch(&queue.pool, id).poll_every(SOON);
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Queued);
    let outside = queue.database.pool().await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&outside)
    .await
    .unwrap();
    let queue = Queue {
        pool: outside,
        ..queue
    };
    queue.start(id).await;
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Running);
    queue.succeed(id).await;
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Succeeded);
}

#[tokio::test]
async fn a_watch_bears_a_restart_of_the_server() {
    let cluster = Cluster::start_private(&[]).await;
    let queue = Queue::on(&cluster).await;
    let id = queued(&queue).await;
    let mut patient = watch(&queue.pool, id).poll_every(SOON);
    let mut impatient = watch(&queue.pool, id)
        .poll_every(SOON)
        .patience(Duration::ZERO);
    assert_eq!(next(&mut patient).await.unwrap().state, JobState::Queued);
    assert_eq!(next(&mut impatient).await.unwrap().state, JobState::Queued);

    cluster.stop().await;
    let error = timeout(DEADLINE, impatient.next())
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(
        timeout(10 * SOON, patient.next()).await.is_err(),
        "it asks on"
    );
    cluster.start().await;
    queue.start(id).await;
    assert_eq!(next(&mut patient).await.unwrap().state, JobState::Running);
    assert_eq!(next(&mut impatient).await.unwrap().state, JobState::Running);
}

#[tokio::test]
async fn an_unknown_job_ends_a_watch_at_once() {
    let queue = Queue::new().await;
    assert!(next(&mut watch(&queue.pool, Uuid::nil())).await.is_none());
    let end = timeout(DEADLINE, watch(&queue.pool, Uuid::nil()).end())
        .await
        .unwrap();
    assert!(end.unwrap().is_none());
}

#[tokio::test]
async fn a_job_that_is_deleted_ends_a_watch_without_a_result() {
    let queue = Queue::new().await;
    let id = queued(&queue).await;
    let end = tokio::spawn(watch(&queue.pool, id).poll_every(SOON).end());
    queue
        .change(id, "DELETE FROM pgdumpd.backup_jobs WHERE id = $1")
        .await;
    assert!(
        timeout(DEADLINE, end)
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn an_ended_job_is_shown_once() {
    let queue = Queue::new().await;
    let id = queued(&queue).await;
    cancel(&queue.pool, id).await.unwrap();
    let mut watch = watch(&queue.pool, id);
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Cancelled);
    assert!(next(&mut watch).await.is_none());
}

#[tokio::test]
async fn a_next_that_is_dropped_loses_no_change() {
    let queue = Queue::new().await;
    let id = queued(&queue).await;
    let mut watch = watch(&queue.pool, id).poll_every(NEVER);
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Queued);
    queue.start(id).await;
    // Dropped again and again, at any moment of what it does.
    let mut patience = Duration::from_micros(50);
    let seen = eventually("the start shows", DEADLINE, async || {
        patience = patience.mul_f64(1.1);
        timeout(patience, watch.next()).await.ok()
    })
    .await;
    assert_eq!(seen.unwrap().unwrap().state, JobState::Running);
    // Nor do the drops put off a poll for ever.
    let mut watch = pgdumpd_client::watch(&queue.pool, id).poll_every(10 * SOON);
    assert_eq!(next(&mut watch).await.unwrap().state, JobState::Running);
    queue.progress(id).await;
    let seen = eventually("the poll comes", DEADLINE, async || {
        timeout(SOON, watch.next()).await.ok()
    })
    .await;
    assert_eq!(seen.unwrap().unwrap().progress, 40.0);
}

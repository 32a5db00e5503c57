//! What comes into the queue, and what does not.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use pgdumpd_client::{
    BackupRequest, BackupSpec, ClientError, JobState, cancel, enqueue, list, sql, status,
};
use sqlx::Row as _;
use uuid::Uuid;

use crate::queue::Queue;

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_nothing() {
    let queue = Queue::new().await;
    let mut transaction = queue.pool.begin().await.unwrap();
    let job = enqueue(&mut *transaction, &BackupRequest::new("shop"))
        .await
        .unwrap();
    assert!(job.is_new);
    assert!(status(&mut *transaction, job.id).await.unwrap().is_some());
    transaction.rollback().await.unwrap();
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn a_transaction_that_commits_leaves_one_job_with_everything_that_was_asked() {
    let queue = Queue::new().await;
    let run_at = Utc::now() + TimeDelta::hours(1);
    let spec = BackupSpec {
        schemas: vec!["public".into()],
        exclude_schemas: vec!["tmp_*".into()],
        tables: vec!["public.orders".into()],
        exclude_tables: vec!["*.log".into()],
        exclude_table_data: vec!["public.events".into()],
        label: Some("ende des Monats – ü".into()),
    };
    let request = BackupRequest::new("shop")
        .spec(spec.clone())
        .priority(5)
        .run_at(run_at)
        .idempotency_key("shop 2026-07")
        .max_attempts(7)
        .timeout(Duration::from_millis(90_500));
    let mut transaction = queue.pool.begin().await.unwrap();
    let job = enqueue(&mut *transaction, &request).await.unwrap();
    assert!(
        status(&queue.pool, job.id).await.unwrap().is_none(),
        "not before the commit"
    );
    transaction.commit().await.unwrap();

    assert_eq!((job.id, queue.count().await), (request.id(), 1));
    let row = sqlx::query("SELECT spec, timeout::text AS timeout FROM pgdumpd.backup_jobs")
        .fetch_one(&queue.pool)
        .await
        .unwrap();
    assert_eq!(row.get::<&str, _>("timeout"), "00:01:30.5");
    let stored: BackupSpec = serde_json::from_value(row.get("spec")).unwrap();
    assert_eq!(stored, spec);
    let status = status(&queue.pool, job.id).await.unwrap().unwrap();
    assert_eq!((status.priority, status.max_attempts), (5, 7));
    assert_eq!(status.run_at.timestamp_micros(), run_at.timestamp_micros());
    assert_eq!(status.label, spec.label);
    assert_eq!(status.idempotency_key.as_deref(), Some("shop 2026-07"));
}

#[tokio::test]
async fn the_same_key_gives_the_first_job_also_after_its_end() {
    let queue = Queue::new().await;
    let request = || BackupRequest::new("shop").idempotency_key("nightly");
    let first = enqueue(&queue.pool, &request()).await.unwrap();
    let again = enqueue(&queue.pool, &request()).await.unwrap();
    assert_eq!((again.id, again.is_new), (first.id, false));
    cancel(&queue.pool, first.id).await.unwrap();
    let again = enqueue(&queue.pool, &request()).await.unwrap();
    assert_eq!((again.id, again.is_new), (first.id, false));
    let other_target = BackupRequest::new("blog").idempotency_key("nightly");
    assert!(enqueue(&queue.pool, &other_target).await.unwrap().is_new);
    assert_eq!(queue.count().await, 2);
}

#[tokio::test]
async fn the_caller_may_choose_an_id_that_nobody_else_has() {
    let queue = Queue::new().await;
    let id = Uuid::new_v4();
    let request = BackupRequest::new("shop").with_id(id);
    assert_eq!(enqueue(&queue.pool, &request).await.unwrap().id, id);

    let taken = enqueue(&queue.pool, &BackupRequest::new("blog").with_id(id)).await;
    let error = taken.unwrap_err();
    assert!(
        matches!(error, ClientError::IdTaken { id: taken } if taken == id),
        "{error:?}"
    );
    assert!(error.hint().is_some());
    let keyed = BackupRequest::new("blog")
        .with_id(id)
        .idempotency_key("fresh");
    let error = enqueue(&queue.pool, &keyed).await.unwrap_err();
    assert!(matches!(error, ClientError::IdTaken { .. }), "{error:?}");
    assert_eq!(queue.count().await, 1);
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_may_be_sent_again() {
    let queue = Queue::new().await;
    let request = BackupRequest::new("shop");
    assert!(enqueue(&queue.pool, &request).await.unwrap().is_new);
    let again = enqueue(&queue.pool, &request).await.unwrap();
    assert_eq!((again.id, again.is_new), (request.id(), false));
    assert_eq!(queue.count().await, 1);
}

#[tokio::test]
async fn an_invalid_request_does_not_reach_the_database() {
    let queue = Queue::new().await;
    let mut transaction = queue.pool.begin().await.unwrap();
    let error = enqueue(&mut *transaction, &BackupRequest::new("shop").priority(6))
        .await
        .unwrap_err();
    let ClientError::Invalid(invalid) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(invalid.field(), "priority");
    // A statement that failed would have aborted the transaction.
    assert!(
        list(&mut *transaction, &Default::default())
            .await
            .unwrap()
            .is_empty()
    );
}

/// Runs the public statement as a caller with another driver would, without this crate's own checks.
async fn enqueue_raw(
    queue: &Queue,
    target: &str,
    spec: serde_json::Value,
    priority: i32,
    max_attempts: i32,
    timeout_seconds: Option<f64>,
) -> ClientError {
    let result = sqlx::query(sql::ENQUEUE)
        .bind(None::<Uuid>)
        .bind(target)
        .bind(spec)
        .bind(priority)
        .bind(None::<chrono::DateTime<Utc>>)
        .bind(None::<String>)
        .bind(max_attempts)
        .bind(timeout_seconds)
        .bind(serde_json::json!({}))
        .bind(None::<String>)
        .execute(&queue.pool)
        .await;
    result.unwrap_err().into()
}

#[tokio::test]
async fn the_database_refuses_what_this_crate_does_not_check_for_others() {
    let queue = Queue::new().await;
    let spec = || serde_json::json!({});
    for (names, error) in [
        (
            "priority",
            enqueue_raw(&queue, "shop", spec(), 0, 3, None).await,
        ),
        (
            "priority",
            enqueue_raw(&queue, "shop", spec(), 70_000, 3, None).await,
        ),
        (
            "max_attempts",
            enqueue_raw(&queue, "shop", spec(), 3, 0, None).await,
        ),
        ("target", enqueue_raw(&queue, "", spec(), 3, 3, None).await),
        (
            "timeout",
            enqueue_raw(&queue, "shop", spec(), 3, 3, Some(0.5)).await,
        ),
        (
            "schemata",
            enqueue_raw(
                &queue,
                "shop",
                serde_json::json!({"schemata": []}),
                3,
                3,
                None,
            )
            .await,
        ),
        (
            "tables",
            enqueue_raw(
                &queue,
                "shop",
                serde_json::json!({"tables": "a"}),
                3,
                3,
                None,
            )
            .await,
        ),
    ] {
        let ClientError::Refused { message, .. } = &error else {
            panic!("{names}: {error:?}");
        };
        assert!(message.contains(names), "{names}: {message}");
    }
    let error = enqueue_raw(&queue, "shop", spec(), 9, 3, None).await;
    assert!(
        error.hint().unwrap().contains("1 (first) to 5 (last)"),
        "{:?}",
        error.hint()
    );
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_refused_and_nothing_is_enqueued() {
    let queue = Queue::new().await;
    for text in [
        "SELECT * FROM pgdumpd.enqueue_backup('shop', id => 'tonight')",
        "SELECT pgdumpd.cancel_backup('tonight')",
        "SELECT * FROM pgdumpd.backup_status WHERE id = 'tonight'",
    ] {
        let error = ClientError::from(sqlx::raw_sql(text).execute(&queue.pool).await.unwrap_err());
        let ClientError::Refused { message, .. } = &error else {
            panic!("{text}: {error:?}");
        };
        assert!(message.contains("tonight"), "{message}");
    }
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn a_new_job_is_queued_and_says_why_it_waits() {
    let queue = Queue::new().await;
    let job = enqueue(&queue.pool, &BackupRequest::new("shop"))
        .await
        .unwrap();
    let status = status(&queue.pool, job.id).await.unwrap().unwrap();
    assert_eq!(
        (status.state, status.status.as_str()),
        (JobState::Queued, "in_progress")
    );
    assert_eq!(
        (status.attempt, status.progress, status.queue_position),
        (0, 0.0, Some(1))
    );
    assert!(status.waits_because.unwrap().contains("shop"));
}

//! Status, list and cancel.

use pgdumpd_client::{
    BackupRequest, Cancelled, JobKind, JobState, ListFilter, PageKey, cancel, enqueue,
    known_targets, list, monitoring, status, statuses, targets,
};
use uuid::Uuid;

use crate::queue::Queue;

#[tokio::test]
async fn an_unknown_id_is_a_result_and_no_error() {
    let queue = Queue::new().await;
    assert!(status(&queue.pool, Uuid::nil()).await.unwrap().is_none());
    assert_eq!(
        cancel(&queue.pool, Uuid::nil()).await.unwrap(),
        Cancelled::NotFound
    );
}

#[tokio::test]
async fn every_column_of_a_job_that_succeeded_can_be_read() {
    let queue = Queue::new().await;
    let job = enqueue(&queue.pool, &BackupRequest::new("shop"))
        .await
        .unwrap();
    queue.start(job.id).await;
    queue.progress(job.id).await;
    queue.succeed(job.id).await;
    let status = status(&queue.pool, job.id).await.unwrap().unwrap();
    assert_eq!(
        (status.state, status.status.as_str()),
        (JobState::Succeeded, "completed")
    );
    assert_eq!((status.progress, status.attempt), (100.0, 1));
    assert_eq!(
        (status.rows_done, status.bytes_dumped),
        (Some(1000), Some(2000))
    );
    assert_eq!(
        (status.tables_done, status.tables_total),
        (Some(1), Some(2))
    );
    assert_eq!(
        (status.size_bytes, status.sha256.unwrap().len()),
        (Some(4711), 64)
    );
    assert_eq!(
        (status.warnings, status.warnings_total),
        (vec!["a warning".to_owned()], 3)
    );
    assert!(status.finished_at > status.started_at);
    assert_eq!(Some(status.last_update), status.finished_at);
    assert!(status.elapsed_seconds.unwrap() >= 0.0);
}

#[tokio::test]
async fn this_crate_reads_every_column_of_the_view() {
    let queue = Queue::new().await;
    let job = enqueue(&queue.pool, &BackupRequest::new("shop"))
        .await
        .unwrap();
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'pgdumpd.backup_status'::regclass AND attnum > 0 ORDER BY attname",
    )
    .fetch_all(&queue.pool)
    .await
    .unwrap();
    let status = status(&queue.pool, job.id).await.unwrap().unwrap();
    let json = serde_json::to_value(&status).unwrap();
    let mut fields: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(fields, columns);
}

#[tokio::test]
async fn a_list_is_filtered_bounded_and_newest_first() {
    let queue = Queue::new().await;
    let mut ids = Vec::new();
    for (target, label) in [("shop", "a"), ("shop", "b"), ("blog", "a"), ("shop", "a")] {
        let request = BackupRequest::new(target).label(label);
        ids.push(enqueue(&queue.pool, &request).await.unwrap().id);
    }
    queue.start(ids[0]).await;
    let listed = async |filter: ListFilter| -> Vec<Uuid> {
        let jobs = list(&queue.pool, &filter).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    };
    let all = ListFilter::default();
    let of_shop = ListFilter {
        target: Some("shop".into()),
        ..all.clone()
    };
    let running = ListFilter {
        state: Some(JobState::Running),
        ..all.clone()
    };
    let label_a = ListFilter {
        label: Some("a".into()),
        ..of_shop.clone()
    };
    let two = ListFilter {
        limit: 2,
        ..all.clone()
    };
    assert_eq!(listed(all).await, [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(listed(of_shop).await, [ids[3], ids[1], ids[0]]);
    assert_eq!(listed(running).await, [ids[0]]);
    assert_eq!(listed(label_a).await, [ids[3], ids[0]]);
    assert_eq!(listed(two).await, [ids[3], ids[2]]);
}

#[tokio::test]
async fn pages_of_a_list_neither_shift_nor_repeat_and_many_jobs_are_read_at_once() {
    let queue = Queue::new().await;
    let mut ids = Vec::new();
    for target in ["a", "b", "c", "a", "b"] {
        let enqueued = enqueue(&queue.pool, &BackupRequest::new(target)).await;
        ids.push(enqueued.unwrap().id);
    }
    let page = async |after: Option<PageKey>| {
        let filter = ListFilter {
            targets: Some(vec!["a".to_owned(), "b".to_owned()]),
            after,
            limit: 3,
            ..ListFilter::default()
        };
        list(&queue.pool, &filter).await.unwrap()
    };
    let first = page(None).await;
    let listed = |jobs: &[pgdumpd_client::JobStatus]| jobs.iter().map(|job| job.id).collect();
    let seen: Vec<Uuid> = listed(&first);
    assert_eq!(seen, [ids[4], ids[3], ids[1]]);
    enqueue(&queue.pool, &BackupRequest::new("a"))
        .await
        .unwrap();
    let second = page(first.last().map(PageKey::from)).await;
    let seen: Vec<Uuid> = listed(&second);
    assert_eq!(seen, [ids[0]]);

    let asked = [ids[2], Uuid::nil(), ids[0]];
    let mut read: Vec<Uuid> = listed(&statuses(&queue.pool, &asked).await.unwrap());
    read.sort_unstable();
    let mut wanted = [ids[2], ids[0]];
    wanted.sort_unstable();
    assert_eq!(read, wanted);
    assert!(statuses(&queue.pool, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn monitoring_has_what_runs_and_waits_and_known_targets_their_newest_backup() {
    let queue = Queue::new().await;
    let job = async |target: &str| {
        let enqueued = enqueue(&queue.pool, &BackupRequest::new(target)).await;
        enqueued.unwrap().id
    };
    let (done, waits, runs, other) = (
        job("a").await,
        job("b").await,
        job("c").await,
        job("d").await,
    );
    queue.start(done).await;
    queue.succeed(done).await;
    queue.start(runs).await;
    let ids = async |targets: Option<&[String]>, limit: u32| {
        let jobs = monitoring(&queue.pool, targets, limit).await.unwrap();
        jobs.iter().map(|job| job.id).collect::<Vec<Uuid>>()
    };
    assert_eq!(ids(None, 10).await, [runs, waits, other]);
    assert_eq!(ids(None, 2).await, [runs, waits]);
    assert_eq!(
        ids(Some(&["b".to_owned(), "d".to_owned()]), 10).await,
        [waits, other]
    );
    let known = known_targets(&queue.pool, None).await.unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
    let a = &known[0];
    assert_eq!((a.target.as_str(), a.daemons), ("a", 0));
    assert!(a.last_success_id == Some(done) && a.last_success_at.is_some());
    let none = known_targets(&queue.pool, Some(&["b".to_owned()])).await;
    assert!(none.unwrap().is_empty());
}

#[tokio::test]
async fn a_list_of_backups_has_no_copies_and_one_of_copies_has_those_of_one_backup() {
    let queue = Queue::new().await;
    let request = || BackupRequest::new("shop").label("a");
    let backup = enqueue(&queue.pool, &request()).await.unwrap().id;
    let other = enqueue(&queue.pool, &request()).await.unwrap().id;
    for of in [backup, other] {
        queue.start(of).await;
        queue.succeed(of).await;
        queue
            .change(
                of,
                "INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to) VALUES ('copy', $1, 'offsite')",
            )
            .await;
    }
    let backups = list(&queue.pool, &ListFilter::default()).await.unwrap();
    let ids: Vec<Uuid> = backups.iter().map(|job| job.id).collect();
    assert_eq!(ids, [other, backup]);
    assert!(backups.iter().all(|job| job.kind == JobKind::Backup));
    let copies = ListFilter {
        kind: Some(JobKind::Copy),
        copy_of: Some(backup),
        ..ListFilter::default()
    };
    let copies = list(&queue.pool, &copies).await.unwrap();
    assert_eq!(copies.len(), 1);
    let copy = &copies[0];
    assert_eq!((copy.kind, copy.copy_of), (JobKind::Copy, Some(backup)));
    assert_eq!(copy.copy_to.as_deref(), Some("offsite"));
    assert_eq!(
        (copy.target.as_str(), copy.label.as_deref()),
        ("shop", Some("a"))
    );
    let both = ListFilter {
        kind: None,
        ..ListFilter::default()
    };
    assert_eq!(list(&queue.pool, &both).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_cancel_says_what_became_of_the_job() {
    let queue = Queue::new().await;
    let job = async |target: &str| {
        enqueue(&queue.pool, &BackupRequest::new(target))
            .await
            .unwrap()
            .id
    };

    let queued = job("a").await;
    assert_eq!(
        cancel(&queue.pool, queued).await.unwrap(),
        Cancelled::Cancelled
    );
    assert_eq!(
        cancel(&queue.pool, queued).await.unwrap(),
        Cancelled::AlreadyCancelled
    );

    let running = job("b").await;
    queue.start(running).await;
    assert_eq!(
        cancel(&queue.pool, running).await.unwrap(),
        Cancelled::Cancelling
    );
    assert_eq!(
        cancel(&queue.pool, running).await.unwrap(),
        Cancelled::Cancelling
    );
    let seen = status(&queue.pool, running).await.unwrap().unwrap();
    assert_eq!(seen.state, JobState::Running);
    assert!(seen.cancel_requested_at.is_some());

    queue.succeed(running).await;
    assert_eq!(
        cancel(&queue.pool, running).await.unwrap(),
        Cancelled::AlreadySucceeded
    );

    let failed = job("c").await;
    queue.start(failed).await;
    queue.fail(failed).await;
    assert_eq!(
        cancel(&queue.pool, failed).await.unwrap(),
        Cancelled::AlreadyFailed
    );
}

#[tokio::test]
async fn a_cancel_that_is_rolled_back_changes_nothing() {
    let queue = Queue::new().await;
    let job = enqueue(&queue.pool, &BackupRequest::new("shop"))
        .await
        .unwrap();
    let mut transaction = queue.pool.begin().await.unwrap();
    assert_eq!(
        cancel(&mut *transaction, job.id).await.unwrap(),
        Cancelled::Cancelled
    );
    transaction.rollback().await.unwrap();
    let status = status(&queue.pool, job.id).await.unwrap().unwrap();
    assert_eq!(status.state, JobState::Queued);
}

#[tokio::test]
async fn what_the_caller_keeps_with_a_job_comes_back_with_it() {
    let queue = Queue::new().await;
    let kept = serde_json::json!({ "user": 7, "note": "Zo\u{eb}" });
    let request = BackupRequest::new("shop").metadata(kept.clone());
    let job = enqueue(&queue.pool, &request).await.unwrap();
    let status = status(&queue.pool, job.id).await.unwrap().unwrap();
    assert_eq!(status.metadata, kept);
    assert!(status.unserved, "no daemon is there: {status:?}");
    assert_eq!(targets(&queue.pool).await.unwrap(), []);
    let refused = BackupRequest::new("shop").metadata(serde_json::json!([]));
    assert_eq!(refused.validate().unwrap_err().field(), "metadata");
    let address = BackupRequest::new("postgres://joe:secret@db/app");
    let refused = address.validate().unwrap_err();
    assert_eq!(refused.field(), "target");
    assert!(!refused.to_string().contains("secret"), "{refused}");
}

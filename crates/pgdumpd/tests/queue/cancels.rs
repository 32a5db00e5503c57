//! Whoever cancels holds up nobody else.

use std::time::Duration;

use crate::fixture::{Fixture, fixture, qualified};

/// The most that a cancel may wait for another transaction, and a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// Cancels the producer's queued jobs of a target in a transaction that stays open.
async fn open_cancels(
    f: &Fixture,
    target: &str,
) -> (sqlx::Transaction<'static, sqlx::Postgres>, i64) {
    let pool = qualified(&f.db.url_as(&f.producer.name)).await;
    let mut transaction = pool.begin().await.unwrap();
    let sql = "SELECT count(pgdumpd.cancel_backup(id)) FROM pgdumpd.backup_status WHERE target = $1 AND state = 'queued'";
    let cancelled = sqlx::query_scalar(sql)
        .bind(target)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    (transaction, cancelled)
}

#[tokio::test]
async fn a_thousand_open_cancels_keep_nobody_elses_backup_from_being_claimed() {
    let f = fixture().await;
    f.flood("a", &f.producer, 1_000).await;
    let (transaction, cancelled) = open_cancels(&f, "a").await;
    assert_eq!(cancelled, 1_000);
    let operators = f.enqueue("a", &[("priority", "5")]).await;
    let job = f.claim(&["a"]).await.expect("the operator's job is due");
    assert_eq!(job.lease.job, operators);
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn a_thousand_open_cancels_keep_no_job_of_the_same_role_from_being_claimed() {
    let f = fixture().await;
    f.flood("a", &f.producer, 1_000).await;
    let (transaction, _) = open_cancels(&f, "a").await;
    let quoted = format!("'{}'", f.producer.name);
    let own = f
        .enqueue("a", &[("priority", "5"), ("requested_by", &quoted)])
        .await;
    let job = f.claim(&["a"]).await.expect("the job behind them is due");
    assert_eq!(job.lease.job, own);
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn a_cancel_waits_for_anothers_open_one_no_longer_than_two_seconds_and_says_so() {
    let f = fixture().await;
    let job = f.running("a").await.lease.job;
    let mut first = f.admin.begin().await.unwrap();
    let cancel = "SELECT pgdumpd.cancel_backup($1)";
    sqlx::query(cancel)
        .bind(job)
        .execute(&mut *first)
        .await
        .unwrap();
    let second = sqlx::query(cancel).bind(job).execute(&f.admin);
    let error = tokio::time::timeout(SOON, second)
        .await
        .expect("it does not wait for the other transaction")
        .unwrap_err();
    let error = error.as_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("55P03"));
    assert_eq!(
        error.message(),
        format!("another transaction cancels backup job {job} and has not ended")
    );
    first.commit().await.unwrap();
    assert_eq!(f.cancel(job).await, "cancelling");
}

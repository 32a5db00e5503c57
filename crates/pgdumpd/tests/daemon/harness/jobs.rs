//! Jobs: asked for, followed and ended.

use pgdumpd_client::{BackupRequest, Cancelled, JobState, JobStatus};
use pgdumpd_testkit::eventually;
use uuid::Uuid;

use super::{SOON, World};

impl World {
    /// Enqueues a backup of `shop`.
    pub(crate) async fn enqueue(&self) -> Uuid {
        self.enqueue_request(BackupRequest::new("shop")).await
    }

    pub(crate) async fn enqueue_request(&self, request: BackupRequest) -> Uuid {
        pgdumpd_client::enqueue(&self.pool, &request)
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn status(&self, id: Uuid) -> JobStatus {
        pgdumpd_client::status(&self.pool, id)
            .await
            .unwrap()
            .unwrap()
    }

    /// Waits until the job's status answers the question.
    pub(crate) async fn until(
        &self,
        id: Uuid,
        what: &str,
        check: impl Fn(&JobStatus) -> bool,
    ) -> JobStatus {
        eventually(what, SOON, async || {
            Some(self.status(id).await).filter(&check)
        })
        .await
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, id: Uuid) -> JobStatus {
        self.until(id, "the job has ended", |status| status.state.has_ended())
            .await
    }

    /// Waits until the job has succeeded; another end fails the test with its error.
    pub(crate) async fn succeeded(&self, id: Uuid) -> JobStatus {
        let status = self.ended(id).await;
        assert_eq!(status.state, JobState::Succeeded, "{status:#?}");
        status
    }

    /// Waits until the job has failed.
    pub(crate) async fn failed(&self, id: Uuid) -> JobStatus {
        let status = self.ended(id).await;
        assert_eq!(status.state, JobState::Failed, "{status:#?}");
        status
    }

    /// Waits until an attempt of the job has failed and the job is queued again, due later.
    pub(crate) async fn requeued(&self, id: Uuid) -> JobStatus {
        let status = self
            .until(id, "the job's attempt has ended", |status| {
                status.state.has_ended()
                    || (status.state == JobState::Queued && status.error.is_some())
            })
            .await;
        assert_eq!(status.state, JobState::Queued, "{status:#?}");
        // Ten seconds, less at most a half: written a moment ago.
        let due_in: f64 = sqlx::query_scalar("SELECT extract(epoch FROM $1 - now())::float8")
            .bind(status.run_at)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert!((2.0..=10.0).contains(&due_in), "due in {due_in} s");
        status
    }

    /// Makes a queued job due at once.
    pub(crate) async fn make_due(&self, id: Uuid) {
        let made = sqlx::query(
            "WITH due AS (UPDATE pgdumpd.backup_jobs SET run_at = now() WHERE id = $1 AND state = 'queued' RETURNING id)
             SELECT pg_notify('pgdumpd_jobs', '') FROM due",
        )
        .bind(id)
        .execute(&self.pool)
        .await
        .unwrap();
        assert_eq!(made.rows_affected(), 1);
    }

    /// Outcome and error code of each attempt, in order.
    pub(crate) async fn ends(&self, id: Uuid) -> Vec<(String, Option<String>)> {
        sqlx::query_as(
            "SELECT outcome, error_code FROM pgdumpd.backup_attempts WHERE job_id = $1 ORDER BY started_at",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Asks to cancel a job.
    pub(crate) async fn cancel(&self, id: Uuid) -> Cancelled {
        pgdumpd_client::cancel(&self.pool, id).await.unwrap()
    }

    /// Seconds from the request to cancel to the job's end, by the database's clock.
    pub(crate) async fn cancel_took(&self, id: Uuid) -> f64 {
        sqlx::query_scalar(
            "SELECT extract(epoch FROM j.finished_at - c.requested_at)::float8
             FROM pgdumpd.backup_jobs AS j JOIN pgdumpd.backup_cancels AS c ON c.job_id = j.id
             WHERE j.id = $1",
        )
        .bind(id)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Waits until pg_dump delivers rows of the job.
    pub(crate) async fn dumping(&self, id: Uuid) -> JobStatus {
        self.until(id, "rows flow", |status| {
            status.phase.as_deref() == Some("data")
        })
        .await
    }
}

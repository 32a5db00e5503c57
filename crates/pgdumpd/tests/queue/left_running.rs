//! Attempts that run by their row while their job does not run under their lease. No statement of a daemon leaves one, but
//! whoever changes a job's row by hand does.

use std::error::Error as _;

use pgdumpd::queue::{Beat, ClaimedJob, Finished, Outcome};

use crate::copies::storages;
use crate::fixture::{Fixture, LEASE, fixture, names, progress, success};

impl Fixture {
    /// Makes a running job queued again, as its owner may by hand: the attempt's row knows nothing of it.
    async fn set_back(&self, job: &ClaimedJob) {
        let sql =
            "UPDATE pgdumpd.backup_jobs SET state = 'queued', lease_token = NULL, worker_id = NULL,
                       lease_expires_at = NULL, started_at = NULL, run_at = now() - interval '1 day'
                   WHERE id = $1";
        sqlx::query(sql)
            .bind(job.lease.job)
            .execute(&self.admin)
            .await
            .unwrap();
        assert_eq!(self.outcomes(job.lease.job).await, ["running"]);
    }

    /// Claims this job once more, and shows that the attempt that was left running has ended.
    async fn assert_claims_again(&self, first: &ClaimedJob, again: Option<ClaimedJob>) {
        let again = again.expect("the job is due");
        assert_eq!(again.lease.job, first.lease.job);
        assert_eq!(self.outcomes(first.lease.job).await, ["lost", "running"]);
        // What it left is looked after like that of any daemon that died.
        assert_eq!(again.earlier.len(), 1);
        assert_eq!(again.earlier[0].token, first.lease.token);
        let (lease, progress) = (&first.lease, progress(1.0));
        let beat = self.queue.heartbeat(lease, LEASE, &progress).await;
        assert_eq!(beat.unwrap(), Beat::LeaseLost);
        let outcome = Outcome::Succeeded(Box::new(success()));
        let ended = self.queue.finish(&again.lease, &outcome).await.unwrap();
        assert_eq!(ended, Finished::Ended("succeeded"));
        assert_eq!(self.outcomes(first.lease.job).await, ["lost", "succeeded"]);
    }

    async fn copy_is_claimed(&self) -> Option<ClaimedJob> {
        let served = storages(&["local", "offsite"]);
        let claimed = self.queue.claim_copy(self.worker, &served, LEASE).await;
        claimed.unwrap()
    }
}

#[tokio::test]
async fn jobs_that_were_queued_again_by_hand_are_claimed_and_starve_nobody() {
    let f = fixture().await;
    let first = f.running("a").await;
    f.set_back(&first).await;
    f.db.execute("UPDATE pgdumpd.backup_jobs SET run_at = now() + interval '1 day'")
        .await;
    let second = f.running("a").await;
    f.set_back(&second).await;
    let behind = f.enqueue("a", &[("priority", "5")]).await;
    let elsewhere = f.enqueue("b", &[("priority", "5")]).await;
    f.make_due().await;
    let mut left = vec![first, second];
    for _ in 0..2 {
        let again = f.claim(&["a"]).await.expect("a job is due");
        let at = left
            .iter()
            .position(|job| job.lease.job == again.lease.job)
            .expect("it is one of the two");
        f.assert_claims_again(&left.remove(at), Some(again)).await;
    }
    assert_eq!(f.claim(&["a"]).await.unwrap().lease.job, behind);
    assert_eq!(f.claim(&["b"]).await.unwrap().lease.job, elsewhere);
}

#[tokio::test]
async fn a_job_that_was_queued_again_by_hand_after_its_last_attempt_has_that_once_more() {
    let f = fixture().await;
    f.enqueue("a", &[("max_attempts", "1")]).await;
    let first = f.claim(&["a"]).await.unwrap();
    f.set_back(&first).await;
    let again = f.claim(&["a"]).await;
    assert_eq!(again.as_ref().map(|job| job.lease.attempt), Some(1));
    f.assert_claims_again(&first, again).await;
}

#[tokio::test]
async fn a_copy_that_was_queued_again_by_hand_is_claimed() {
    let f = fixture().await;
    f.stored("original", &["offsite"]).await;
    let first = f.copy_is_claimed().await.unwrap();
    f.set_back(&first).await;
    f.db.execute("UPDATE pgdumpd.backup_jobs SET attempt = max_attempts WHERE state = 'queued'")
        .await;
    let again = f.copy_is_claimed().await.expect("the copy is due");
    assert_eq!(again.lease.attempt, again.max_attempts);
    assert_eq!(f.outcomes(first.lease.job).await, ["lost", "running"]);
    assert_eq!(again.earlier[0].token, first.lease.token);
}

#[tokio::test]
async fn the_reaper_ends_attempts_that_were_left_running_and_no_other() {
    let f = fixture().await;
    let cancelled = f.running("a").await;
    f.set_back(&cancelled).await;
    assert_eq!(f.cancel(cancelled.lease.job).await, "cancelled");
    let queued = f.running("b").await;
    f.set_back(&queued).await;
    let runs = f.running("c").await;
    let in_use = async |job: &ClaimedJob| f.queue.attempt_is_in_use(job.lease.token).await.unwrap();
    assert!(in_use(&cancelled).await);
    assert_eq!(f.queue.reap(5).await.unwrap(), 0, "no job has changed");
    assert_eq!(f.outcomes(cancelled.lease.job).await, ["lost"]);
    assert_eq!(f.outcomes(queued.lease.job).await, ["lost"]);
    assert_eq!(f.outcomes(runs.lease.job).await, ["running"]);
    assert!(!in_use(&cancelled).await, "its object can be removed");
    f.expire(runs.lease.job).await;
    assert_eq!(f.queue.reap(5).await.unwrap(), 1);
    assert_eq!(f.outcomes(runs.lease.job).await, ["lost"]);
    assert_eq!(f.state(runs.lease.job).await, "queued");
}

#[tokio::test]
async fn an_adopted_clone_takes_no_attempt_that_was_left_running_for_its_own() {
    let f = fixture().await;
    let job = f.running("a").await;
    f.set_back(&job).await;
    f.queue.reset_identity().await.unwrap().unwrap();
    let why: Option<String> =
        sqlx::query_scalar("SELECT error_code FROM pgdumpd.backup_attempts WHERE lease_token = $1")
            .bind(job.lease.token)
            .fetch_one(&f.admin)
            .await
            .unwrap();
    assert_eq!(why.as_deref(), Some("queue_adopted"));
}

#[tokio::test]
async fn a_violation_that_no_race_gives_is_an_error_that_names_the_rule() {
    let f = fixture().await;
    f.db.execute("CREATE UNIQUE INDEX a_rule_of_the_owners ON pgdumpd.backup_attempts (attempt)")
        .await;
    f.running("a").await;
    f.enqueue("b", &[]).await;
    let error = f
        .queue
        .claim(f.worker, &names(&["b"]), LEASE)
        .await
        .unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(source.contains("a_rule_of_the_owners"), "{source}");
}

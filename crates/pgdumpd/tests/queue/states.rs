//! The states of a job, moved as the daemon's plain role.

use std::time::Duration;

use crate::fixture::{LEASE, failure, fixture, progress, success};
use pgdumpd::queue::{Beat, Finished, Outcome, Progress};
use uuid::Uuid;

const RENEWED: Beat = Beat::Renewed { cancel: false };

#[tokio::test]
async fn a_job_goes_from_queued_to_succeeded_and_its_copy_is_recorded() {
    let f = fixture().await;
    let id = f
        .enqueue(
            "app",
            &[("timeout", "'90 s'"), ("spec", r#"'{"label": "x"}'"#)],
        )
        .await;
    let job = f.claim(&["other", "app"]).await.unwrap();
    assert_eq!(
        (job.lease.job, job.lease.attempt, job.target.as_str()),
        (id, 1, "app")
    );
    assert_eq!(job.timeout, Some(Duration::from_secs(90)));
    assert_eq!(job.spec["label"], "x");
    assert!(job.earlier.is_empty());
    assert_eq!(
        f.queue
            .heartbeat(&job.lease, LEASE, &progress(40.5))
            .await
            .unwrap(),
        RENEWED
    );
    assert_eq!(f.column(id, "progress").await.unwrap(), "40.5");
    assert!(
        f.queue
            .record_upload(&job.lease, "local", Uuid::from_u128(7), "k", Some("u"))
            .await
            .unwrap()
    );
    let finished = f
        .queue
        .finish(&job.lease, &Outcome::Succeeded(Box::new(success())))
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("succeeded"));
    assert_eq!(f.column(id, "progress").await.unwrap(), "100");
    assert_eq!(f.column(id, "warnings->>0").await.unwrap(), "a warning");
    assert_eq!(f.outcomes(id).await, ["succeeded"]);
    let copy = f.queue.copies_of(id).await.unwrap().remove(0);
    assert_eq!((copy.storage.as_str(), copy.size_bytes), ("local", 4096));
    assert!(
        f.queue
            .mark_copy_deleted(copy.storage_id, &copy.object_key)
            .await
            .unwrap()
    );
    assert!(
        !f.queue
            .mark_copy_deleted(copy.storage_id, &copy.object_key)
            .await
            .unwrap()
    );
    assert!(f.queue.copies_of(id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_heartbeat_never_lowers_the_percentage_nor_reaches_100() {
    let f = fixture().await;
    let job = f.running("app").await;
    for (said, shown) in [
        (50.0, "50"),
        (30.0, "50"),
        (f32::NAN, "50"),
        (-4.0, "50"),
        (1e9, "99.9"),
    ] {
        assert_eq!(
            f.queue
                .heartbeat(&job.lease, LEASE, &progress(said))
                .await
                .unwrap(),
            RENEWED
        );
        assert_eq!(
            f.column(job.lease.job, "progress").await.unwrap(),
            shown,
            "{said}"
        );
    }
}

#[tokio::test]
async fn text_that_a_row_cannot_hold_is_fitted_and_never_refused() {
    let f = fixture().await;
    let job = f.running("app").await;
    let wild = Progress {
        phase: "p\0".repeat(500),
        message: "ä".repeat(5000),
        current_table: Some("t".repeat(5000)),
        remaining: Some(Duration::MAX),
        ..Progress::default()
    };
    assert_eq!(
        f.queue.heartbeat(&job.lease, LEASE, &wild).await.unwrap(),
        RENEWED
    );
    let mut wild = failure(false);
    wild.error = "e\0".repeat(50_000);
    wild.hint = Some("h".repeat(50_000));
    wild.warnings = vec!["\0\u{1}\"".repeat(9000); 500];
    wild.warnings_total = 500;
    let finished = f
        .queue
        .finish(&job.lease, &Outcome::Failed(wild))
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("failed"));
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_later_until_the_attempts_are_used_up() {
    let f = fixture().await;
    let id = f.enqueue("app", &[("max_attempts", "2")]).await;
    let first = f.claim(&["app"]).await.unwrap();
    f.queue
        .heartbeat(&first.lease, LEASE, &progress(40.0))
        .await
        .unwrap();
    f.queue
        .record_upload(&first.lease, "local", Uuid::from_u128(7), "k1", None)
        .await
        .unwrap();
    let Finished::Requeued { run_at } = f
        .queue
        .finish(&first.lease, &Outcome::Failed(failure(true)))
        .await
        .unwrap()
    else {
        panic!("it was not queued again");
    };
    let wait = (run_at - first.claimed_at).as_seconds_f64();
    assert!((5.0..20.0).contains(&wait), "{wait}");
    assert_eq!(f.state(id).await, "queued");
    assert_eq!(f.column(id, "error_code").await.unwrap(), "dump_failed");
    assert!(f.claim(&["app"]).await.is_none(), "it is not due yet");
    let due = f
        .queue
        .next_due(&crate::fixture::names(&["app"]))
        .await
        .unwrap()
        .unwrap();
    assert!(
        due > Duration::from_secs(2) && due < Duration::from_secs(11),
        "{due:?}"
    );
    f.make_due().await;
    let second = f.claim(&["app"]).await.unwrap();
    assert_eq!(second.lease.attempt, 2);
    assert_eq!(second.earlier.len(), 1);
    assert_eq!(second.earlier[0].token, first.lease.token);
    assert_eq!(second.earlier[0].object_key.as_deref(), Some("k1"));
    assert_eq!(f.column(id, "progress").await.unwrap(), "0");
    assert_eq!(f.column(id, "error_code").await, None);
    let finished = f
        .queue
        .finish(&second.lease, &Outcome::Failed(failure(true)))
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("failed"));
    assert_eq!(f.outcomes(id).await, ["failed", "failed"]);
}

#[tokio::test]
async fn a_permanent_failure_is_not_tried_again() {
    let f = fixture().await;
    let job = f.running("app").await;
    let finished = f
        .queue
        .finish(&job.lease, &Outcome::Failed(failure(false)))
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("failed"));
    assert_eq!(
        f.column(job.lease.job, "error_hint").await.unwrap(),
        "Look at the server's log."
    );
}

#[tokio::test]
async fn a_cancel_reaches_the_running_job_with_its_heartbeat() {
    let f = fixture().await;
    let job = f.running("app").await;
    assert_eq!(f.cancel(job.lease.job).await, "cancelling");
    assert_eq!(
        f.cancel(job.lease.job).await,
        "cancelling",
        "asking twice is the same"
    );
    let beat = f
        .queue
        .heartbeat(&job.lease, LEASE, &progress(1.0))
        .await
        .unwrap();
    assert_eq!(beat, Beat::Renewed { cancel: true });
    let finished = f
        .queue
        .finish(&job.lease, &Outcome::Cancelled)
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("cancelled"));
    assert_eq!(f.cancel(job.lease.job).await, "already_cancelled");
    assert_eq!(f.outcomes(job.lease.job).await, ["cancelled"]);
}

#[tokio::test]
async fn a_cancel_of_a_queued_job_ends_it_at_once() {
    let f = fixture().await;
    let id = f.enqueue("app", &[]).await;
    assert_eq!(f.cancel(id).await, "cancelled");
    assert_eq!(f.state(id).await, "cancelled");
    assert!(f.claim(&["app"]).await.is_none());
    assert_eq!(f.cancel(Uuid::new_v4()).await, "not_found");
}

#[tokio::test]
async fn success_beats_a_late_cancel() {
    let f = fixture().await;
    let job = f.running("app").await;
    f.cancel(job.lease.job).await;
    let finished = f
        .queue
        .finish(&job.lease, &Outcome::Succeeded(Box::new(success())))
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("succeeded"));
    assert_eq!(f.cancel(job.lease.job).await, "already_succeeded");
}

#[tokio::test]
async fn a_cancel_beats_another_attempt() {
    let f = fixture().await;
    for outcome in [
        Outcome::Failed(failure(true)),
        Outcome::Failed(failure(false)),
        Outcome::Released,
    ] {
        let job = f.running("app").await;
        f.cancel(job.lease.job).await;
        let finished = f.queue.finish(&job.lease, &outcome).await.unwrap();
        assert_eq!(finished, Finished::Ended("cancelled"), "{outcome:?}");
        assert_eq!(
            f.queue.finish(&job.lease, &outcome).await.unwrap(),
            finished,
            "repeated"
        );
    }
}

#[tokio::test]
async fn a_release_gives_the_attempt_back() {
    let f = fixture().await;
    let job = f.running("app").await;
    f.queue
        .heartbeat(&job.lease, LEASE, &progress(60.0))
        .await
        .unwrap();
    let finished = f
        .queue
        .finish(&job.lease, &Outcome::Released)
        .await
        .unwrap();
    assert!(
        matches!(finished, Finished::Requeued { .. }),
        "{finished:?}"
    );
    assert_eq!(f.column(job.lease.job, "attempt").await.unwrap(), "0");
    let again = f.claim(&["app"]).await.expect("it is due at once");
    assert_eq!(again.lease.attempt, 1);
    assert_ne!(again.lease.token, job.lease.token);
    assert_eq!(again.earlier[0].token, job.lease.token);
    assert_eq!(f.outcomes(job.lease.job).await, ["released", "running"]);
}

#[tokio::test]
async fn a_finish_whose_answer_was_lost_says_the_same_again_and_changes_nothing() {
    let f = fixture().await;
    for outcome in [
        Outcome::Succeeded(Box::new(success())),
        Outcome::Failed(failure(false)),
        Outcome::Failed(failure(true)),
        Outcome::Cancelled,
        Outcome::Released,
    ] {
        let job = f.running("app").await;
        let first = f.queue.finish(&job.lease, &outcome).await.unwrap();
        let before = f.everything().await;
        assert_eq!(
            f.queue.finish(&job.lease, &outcome).await.unwrap(),
            first,
            "{outcome:?}"
        );
        assert_eq!(f.everything().await, before, "{outcome:?}");
        if matches!(first, Finished::Requeued { .. }) {
            f.make_due().await;
            let next = f.claim(&["app"]).await.unwrap();
            assert_eq!(
                f.queue.finish(&job.lease, &outcome).await.unwrap(),
                first,
                "even when it runs again"
            );
            f.queue
                .finish(&next.lease, &Outcome::Failed(failure(false)))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_silent_daemon_loses_its_job_and_the_rescue_counts() {
    let f = fixture().await;
    let id = f.enqueue("app", &[("max_attempts", "9")]).await;
    assert_eq!(f.queue.reap(2).await.unwrap(), 0);
    for rescue in 1..=3 {
        let job = f.claim(&["app"]).await.unwrap();
        assert_eq!((job.rescues, job.lease.attempt), (rescue - 1, rescue));
        assert_eq!(f.queue.reap(2).await.unwrap(), 0, "the lease is good");
        f.expire(id).await;
        assert_eq!(f.queue.reap(2).await.unwrap(), 1);
        let before = f.everything().await;
        assert_eq!(
            f.queue
                .heartbeat(&job.lease, LEASE, &progress(9.0))
                .await
                .unwrap(),
            Beat::LeaseLost
        );
        assert!(
            !f.queue
                .record_upload(&job.lease, "s", Uuid::nil(), "k", None)
                .await
                .unwrap()
        );
        for outcome in [
            Outcome::Succeeded(Box::new(success())),
            Outcome::Failed(failure(true)),
            Outcome::Cancelled,
            Outcome::Released,
        ] {
            assert_eq!(
                f.queue.finish(&job.lease, &outcome).await.unwrap(),
                Finished::LeaseLost
            );
        }
        assert_eq!(f.everything().await, before, "a lost lease changes nothing");
    }
    assert_eq!(f.state(id).await, "failed");
    assert_eq!(f.column(id, "error_code").await.unwrap(), "daemon_died");
    assert!(f.column(id, "error_hint").await.is_some());
    assert_eq!(f.outcomes(id).await, ["lost", "lost", "lost"]);
}

#[tokio::test]
async fn a_job_whose_last_attempt_is_lost_fails() {
    let f = fixture().await;
    let id = f.enqueue("app", &[("max_attempts", "1")]).await;
    f.claim(&["app"]).await.unwrap();
    f.expire(id).await;
    assert_eq!(f.queue.reap(100).await.unwrap(), 1);
    assert_eq!(f.state(id).await, "failed");
}

#[tokio::test]
async fn an_expired_lease_is_good_until_somebody_reaps() {
    let f = fixture().await;
    let job = f.running("app").await;
    f.expire(job.lease.job).await;
    assert_eq!(
        f.queue
            .heartbeat(&job.lease, LEASE, &progress(1.0))
            .await
            .unwrap(),
        RENEWED
    );
    assert_eq!(
        f.queue.reap(2).await.unwrap(),
        0,
        "the heartbeat renewed it"
    );
    f.expire(job.lease.job).await;
    let finished = f
        .queue
        .finish(&job.lease, &Outcome::Succeeded(Box::new(success())))
        .await
        .unwrap();
    assert_eq!(finished, Finished::Ended("succeeded"));
}

#[tokio::test]
async fn a_cancelled_job_of_a_dead_daemon_is_reaped_as_cancelled() {
    let f = fixture().await;
    let job = f.running("app").await;
    f.cancel(job.lease.job).await;
    f.expire(job.lease.job).await;
    f.queue.reap(2).await.unwrap();
    assert_eq!(f.state(job.lease.job).await, "cancelled");
}

#[tokio::test]
async fn a_queued_job_with_a_pending_cancel_is_not_started_but_ended() {
    let f = fixture().await;
    let id = f.enqueue("app", &[]).await;
    // As left by a cancel that came while a claim held the row, which was then released.
    f.db.execute(&format!(
        "INSERT INTO pgdumpd.backup_cancels (job_id) VALUES ('{id}')"
    ))
    .await;
    assert!(f.claim(&["app"]).await.is_none());
    assert_eq!(f.queue.reap(2).await.unwrap(), 1);
    assert_eq!(f.state(id).await, "cancelled");
}

#[tokio::test]
async fn an_ended_row_never_changes_whoever_writes_it() {
    let f = fixture().await;
    let job = f.running("app").await;
    f.queue
        .finish(&job.lease, &Outcome::Succeeded(Box::new(success())))
        .await
        .unwrap();
    for change in [
        "state = 'queued', finished_at = NULL",
        "message = 'x'",
        "sha256 = repeat('0', 64)",
        "attempt = 2",
    ] {
        let sql = format!("UPDATE pgdumpd.backup_jobs SET {change}");
        let error = sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&f.admin)
            .await
            .unwrap_err();
        assert_eq!(
            error.as_database_error().unwrap().code().unwrap(),
            "23514",
            "{change}"
        );
    }
}

#[tokio::test]
async fn adopting_a_clone_gives_it_a_new_id_and_ends_what_it_was_cloned_with() {
    let f = fixture().await;
    let done = f.running("a").await;
    f.queue
        .finish(&done.lease, &Outcome::Succeeded(Box::new(success())))
        .await
        .unwrap();
    let running = f.running("a").await;
    let queued = f.enqueue("a", &[]).await;
    let adopted = f.queue.reset_identity().await.unwrap().unwrap();
    assert_ne!(adopted.id, f.queue.id());
    assert_eq!((adopted.cancelled, adopted.failed), (1, 1));
    assert_eq!(f.state(done.lease.job).await, "succeeded");
    assert_eq!(f.state(queued).await, "cancelled");
    assert_eq!(
        f.column(running.lease.job, "error_code").await.unwrap(),
        "queue_adopted"
    );
    let lost = f
        .queue
        .heartbeat(&running.lease, LEASE, &progress(1.0))
        .await
        .unwrap();
    assert_eq!(lost, Beat::LeaseLost);
    assert_eq!(
        f.queue.reset_identity().await.unwrap(),
        None,
        "its id is another by now"
    );
}

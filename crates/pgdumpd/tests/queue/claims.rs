//! Who gets which job, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use pgdumpd::queue::{Beat, Outcome, Queue, Wake};
use pgdumpd_testkit::eventually;
use uuid::Uuid;

use crate::fixture::{LEASE, config, failure, fixture, names, progress, success};

#[tokio::test]
async fn the_best_priority_comes_first_then_the_earliest_due_and_the_future_waits() {
    let f = fixture().await;
    let last = f
        .enqueue(
            "a",
            &[("priority", "5"), ("run_at", "now() - interval '9 h'")],
        )
        .await;
    let third = f
        .enqueue("b", &[("run_at", "now() - interval '1 h'")])
        .await;
    let second = f
        .enqueue("c", &[("run_at", "now() - interval '2 h'")])
        .await;
    let first = f.enqueue("d", &[("priority", "1")]).await;
    f.enqueue(
        "e",
        &[("priority", "1"), ("run_at", "now() + interval '1 h'")],
    )
    .await;
    f.enqueue("elsewhere", &[("priority", "1")]).await;
    let mut order = Vec::new();
    while let Some(job) = f.claim(&["a", "b", "c", "d", "e"]).await {
        order.push(job.lease.job);
    }
    assert_eq!(order, [first, second, third, last]);
    let wait = f
        .queue
        .next_due(&names(&["a", "e"]))
        .await
        .unwrap()
        .unwrap();
    assert!(wait > Duration::from_secs(3500), "{wait:?}");
    assert_eq!(f.queue.next_due(&names(&["a"])).await.unwrap(), None);
}

#[tokio::test]
async fn a_busy_target_waits_and_the_others_do_not() {
    let f = fixture().await;
    f.running("a").await;
    let waits = f.enqueue("a", &[("priority", "1")]).await;
    let other = f.enqueue("b", &[("priority", "5")]).await;
    assert_eq!(f.claim(&["a", "b"]).await.unwrap().lease.job, other);
    assert!(f.claim(&["a", "b"]).await.is_none());
    assert_eq!(f.state(waits).await, "queued");
}

#[tokio::test]
async fn a_spec_version_that_this_daemon_does_not_know_stays_queued_and_lets_others_pass() {
    let f = fixture().await;
    let unknown = f.enqueue("a", &[]).await;
    // As a newer schema would take it.
    f.db.execute("UPDATE pgdumpd.backup_jobs SET spec_version = 99")
        .await;
    let known = f.enqueue("a", &[]).await;
    assert_eq!(f.claim(&["a"]).await.unwrap().lease.job, known);
    f.db.execute("UPDATE pgdumpd.backup_jobs SET lease_expires_at = now() - interval '1 s' WHERE state = 'running'")
        .await;
    f.queue.reap(0).await.unwrap();
    assert!(f.claim(&["a"]).await.is_none());
    assert_eq!(f.state(unknown).await, "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_claimers_at_once_never_run_one_target_twice() {
    let f = fixture().await;
    for round in 0..30 {
        let target = format!("t{round}");
        f.enqueue(&target, &[]).await;
        f.enqueue(&target, &[]).await;
        let claims = (0..4).map(|_| {
            let (queue, targets) = (f.queue.clone(), vec![target.clone()]);
            tokio::spawn(async move { queue.claim(Uuid::new_v4(), &targets, LEASE).await.unwrap() })
        });
        let mut won = 0;
        for claim in claims.collect::<Vec<_>>() {
            won += usize::from(claim.await.unwrap().is_some());
        }
        assert_eq!(won, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_jobs_and_four_daemons_run_each_exactly_once() {
    let f = fixture().await;
    let targets: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    for n in 0..50 {
        f.enqueue(&targets[n % 10], &[]).await;
    }
    let mut daemons = Vec::new();
    for _ in 0..4 {
        let queue = Queue::connect(&config(&f.db.url_as(&f.daemon.name)))
            .await
            .unwrap();
        let targets = targets.clone();
        daemons.push(tokio::spawn(async move {
            let (worker, mut ran) = (Uuid::new_v4(), Vec::new());
            loop {
                if let Some(job) = queue.claim(worker, &targets, LEASE).await.unwrap() {
                    let beat = queue
                        .heartbeat(&job.lease, LEASE, &progress(50.0))
                        .await
                        .unwrap();
                    assert_eq!(beat, Beat::Renewed { cancel: false });
                    let outcome = Outcome::Succeeded(Box::new(success()));
                    queue.finish(&job.lease, &outcome).await.unwrap();
                    ran.push(job.lease.job);
                } else if queue.next_due(&targets).await.unwrap().is_none() {
                    return ran;
                }
            }
        }));
    }
    let mut times: BTreeMap<Uuid, u32> = BTreeMap::new();
    for daemon in daemons {
        for job in daemon.await.unwrap() {
            *times.entry(job).or_default() += 1;
        }
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    // A daemon may leave while the last jobs of busy targets wait: somebody else took them.
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_jobs WHERE state <> 'succeeded'")
            .fetch_one(&f.admin)
            .await
            .unwrap();
    assert_eq!((times.len(), left), (50, 0));
}

#[tokio::test]
async fn a_row_that_an_application_holds_locked_does_not_stop_the_jobs_behind_it() {
    let f = fixture().await;
    let held = f.enqueue("a", &[]).await;
    let behind = f.enqueue("a", &[]).await;
    let mut application = f.admin.begin().await.unwrap();
    let said: String = sqlx::query_scalar("SELECT pgdumpd.cancel_backup($1)")
        .bind(held)
        .fetch_one(&mut *application)
        .await
        .unwrap();
    assert_eq!(said, "cancelled");
    let job = f.claim(&["a"]).await.expect("the job behind is due");
    assert_eq!(job.lease.job, behind);
    application.rollback().await.unwrap();
    assert_eq!(f.state(held).await, "queued");
}

#[tokio::test]
async fn an_open_cancel_of_a_running_job_stalls_neither_heartbeat_nor_reaper_nor_finish() {
    let f = fixture().await;
    let job = f.running("a").await;
    let mut application = f.admin.begin().await.unwrap();
    let said: String = sqlx::query_scalar("SELECT pgdumpd.cancel_backup($1)")
        .bind(job.lease.job)
        .fetch_one(&mut *application)
        .await
        .unwrap();
    assert_eq!(said, "cancelling");
    let beat = f
        .queue
        .heartbeat(&job.lease, LEASE, &progress(1.0))
        .await
        .unwrap();
    assert_eq!(
        beat,
        Beat::Renewed { cancel: false },
        "it is not committed yet"
    );
    f.expire(job.lease.job).await;
    assert_eq!(f.queue.reap(5).await.unwrap(), 1);
    let again = f.claim(&["a"]).await.unwrap();
    application.commit().await.unwrap();
    let beat = f
        .queue
        .heartbeat(&again.lease, LEASE, &progress(1.0))
        .await
        .unwrap();
    assert_eq!(beat, Beat::Renewed { cancel: true });
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_given_back_by_the_next_one() {
    let f = fixture().await;
    let id = f.enqueue("a", &[]).await;
    // Slow enough to be dropped in the middle, on the server's side.
    f.db.execute(
        "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
         CREATE TRIGGER slow AFTER INSERT ON pgdumpd.backup_attempts FOR EACH ROW EXECUTE FUNCTION public.slow()",
    )
    .await;
    let claim = f.claim(&["a"]);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), claim)
            .await
            .is_err(),
        "it was not dropped"
    );
    f.db.execute("DROP TRIGGER slow ON pgdumpd.backup_attempts")
        .await;
    assert_eq!(
        f.state(id).await,
        "running",
        "the claim was made and nobody knows"
    );
    let job = f.claim(&["a"]).await.expect("it was given back first");
    assert_eq!((job.lease.job, job.lease.attempt, job.rescues), (id, 1, 0));
    assert_eq!(f.outcomes(id).await, ["released", "running"]);
}

#[tokio::test]
async fn two_hundred_heartbeats_are_hot_updates() {
    let f = fixture().await;
    let job = f.running("a").await;
    let url = f.db.url_as(&f.daemon.name);
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let queue = Queue::connect(&config(&url)).await.unwrap();
    let count = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'pgdumpd.backup_jobs'::regclass";
    for n in 0..200_u8 {
        let mut progress = progress(f32::from(n) / 3.0);
        progress.bytes_dumped = Some(i64::from(n) * 1_000_000);
        progress.current_table = Some(format!("public.table_{n}"));
        queue.heartbeat(&job.lease, LEASE, &progress).await.unwrap();
    }
    // A session hands its statistics in at its end.
    pool.close().await;
    let (all, hot) = eventually(
        "the statistics arrive",
        Duration::from_secs(20),
        async || {
            let counts: (i64, i64) = sqlx::query_as(count).fetch_one(&f.admin).await.unwrap();
            (counts.0 >= 200).then_some(counts)
        },
    )
    .await;
    // The claim's own update is none, and a full page now and then makes one that is not.
    // Now and then the page has no room because another test's snapshot keeps dead rows; with an index on a
    // column that heartbeats write, none at all would be.
    assert!(hot >= 180, "{hot} of {all} updates were HOT");
}

#[tokio::test]
async fn a_listener_wakes_for_new_jobs_and_cancels_and_after_each_reconnect() {
    let f = fixture().await;
    let mut wakes = f.queue.listener();
    let soon = Duration::from_secs(20);
    let mut next = async || {
        tokio::time::timeout(soon, wakes.next())
            .await
            .expect("a wake-up")
    };
    assert_eq!(next().await, Wake::Connected);
    f.enqueue("a", &[("run_at", "now() + interval '1 h'")])
        .await;
    let id = f.enqueue("a", &[]).await;
    assert_eq!(next().await, Wake::Notified);
    let job = f.claim(&["a"]).await.unwrap();
    assert_eq!(job.lease.job, id);
    f.cancel(id).await;
    assert_eq!(next().await, Wake::Notified);
    f.db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query ILIKE 'LISTEN%'",
    )
    .await;
    assert_eq!(
        next().await,
        Wake::Connected,
        "the future job and the claim woke nobody"
    );
    f.queue
        .finish(&job.lease, &Outcome::Failed(failure(false)))
        .await
        .unwrap();
    assert_eq!(next().await, Wake::Notified, "a target became free");
}

#[tokio::test]
async fn a_cancel_never_waits_for_a_claim_that_holds_the_row() {
    let f = fixture().await;
    let id = f.enqueue("a", &[]).await;
    let mut claimer = f.admin.begin().await.unwrap();
    sqlx::query("SELECT FROM pgdumpd.backup_jobs FOR NO KEY UPDATE")
        .execute(&mut *claimer)
        .await
        .unwrap();
    let said = tokio::time::timeout(Duration::from_secs(10), f.cancel(id))
        .await
        .expect("it does not wait");
    assert_eq!(said, "cancelling");
    claimer.rollback().await.unwrap();
    assert!(
        f.claim(&["a"]).await.is_none(),
        "it is not started any more"
    );
    assert_eq!(f.queue.end_cancelled().await.unwrap(), 1);
    assert_eq!(f.state(id).await, "cancelled");
}

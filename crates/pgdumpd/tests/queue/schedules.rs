//! A due time makes one job, whoever and however many ask.

use chrono::{DateTime, TimeDelta, Utc};
use pgdumpd::migrate::{Grants, migrate, print};
use pgdumpd::queue::{KeptSchedule, Outcome, Queue, Settled};
use pgdumpd_testkit::cluster;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::fixture::{Fixture, config, failure, fixture, names};

const NIGHTLY: &str = "30 3 * * * UTC";
const HOURLY: &str = "0 * * * * UTC";

/// What a daemon does that has this schedule for the target `app`.
async fn keep(queue: &Queue, schedule: Option<&str>) -> Option<KeptSchedule> {
    let schedules = [schedule.map(str::to_owned)];
    let kept = queue.keep_schedules(&names(&["app"]), &schedules).await;
    kept.unwrap().pop()
}

async fn settle(f: &Fixture, due: DateTime<Utc>) -> Settled {
    f.queue.settle_schedule("app", NIGHTLY, due).await.unwrap()
}

/// The schedule as it is after a time in which no daemon ran.
async fn missed(f: &Fixture) -> KeptSchedule {
    keep(&f.queue, Some(NIGHTLY)).await.unwrap();
    f.db.execute("UPDATE pgdumpd.schedules SET due_at = due_at - interval '10 days', seen_at = seen_at - interval '9 days'")
        .await;
    keep(&f.queue, Some(NIGHTLY)).await.unwrap()
}

async fn jobs(f: &Fixture) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_jobs")
        .fetch_one(&f.admin)
        .await
        .unwrap()
}

async fn schedules(f: &Fixture) -> Vec<String> {
    sqlx::query_scalar("SELECT schedule FROM pgdumpd.schedules ORDER BY schedule")
        .fetch_all(&f.admin)
        .await
        .unwrap()
}

async fn unseen_for(f: &Fixture, schedule: &str, interval: &str) {
    let sql = format!(
        "UPDATE pgdumpd.schedules SET seen_at = clock_timestamp() - interval '{interval}' WHERE schedule = '{schedule}'"
    );
    f.db.execute(&sql).await;
}

#[tokio::test]
async fn a_missed_time_is_caught_up_with_once_and_the_ones_before_it_not_at_all() {
    let f = fixture().await;
    let kept = missed(&f).await;
    let latest = kept.now - TimeDelta::hours(1);
    assert!(kept.due_at < latest);
    let Settled::Enqueued(job) = settle(&f, latest).await else {
        panic!("it was due");
    };
    assert_eq!(settle(&f, latest).await, Settled::Already);
    assert_eq!(
        settle(&f, latest - TimeDelta::days(1)).await,
        Settled::Already
    );
    assert_eq!(jobs(&f).await, 1);
    assert_eq!(keep(&f.queue, Some(NIGHTLY)).await.unwrap().due_at, latest);
    assert_eq!(f.column(job, "requested_by").await.unwrap(), f.daemon.name);
    assert_eq!(
        f.column(job, "spec ->> 'label'").await.unwrap(),
        "scheduled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_daemons_at_once_make_one_job_of_a_due_time() {
    let f = fixture().await;
    let mut due = missed(&f).await.due_at;
    for round in 1..=5 {
        due += TimeDelta::days(1);
        let tries = (0..8).map(|_| {
            let queue = f.queue.clone();
            tokio::spawn(async move { queue.settle_schedule("app", NIGHTLY, due).await.unwrap() })
        });
        let mut enqueued = Vec::new();
        for tried in tries.collect::<Vec<_>>() {
            match tried.await.unwrap() {
                Settled::Enqueued(job) => enqueued.push(job),
                Settled::Already => {}
                Settled::Skipped { .. } => panic!("the job before has ended"),
            }
        }
        assert_eq!(enqueued.len(), 1, "round {round}");
        assert_eq!(f.cancel(enqueued[0]).await, "cancelled");
    }
    assert_eq!(jobs(&f).await, 5);
}

#[tokio::test]
async fn a_new_schedule_is_not_due_for_the_past_nor_for_the_future() {
    let f = fixture().await;
    let kept = keep(&f.queue, Some(NIGHTLY)).await.unwrap();
    assert_eq!(settle(&f, kept.due_at).await, Settled::Already);
    assert_eq!(
        settle(&f, kept.now + TimeDelta::hours(1)).await,
        Settled::Already
    );
    let now: DateTime<Utc> = keep(&f.queue, Some(NIGHTLY)).await.unwrap().now;
    assert!(matches!(settle(&f, now).await, Settled::Enqueued(_)));
}

#[tokio::test]
async fn a_schedule_waits_for_the_end_of_its_last_job() {
    let f = fixture().await;
    let start = missed(&f).await.due_at;
    let due = |days| start + TimeDelta::days(days);
    let Settled::Enqueued(first) = settle(&f, due(1)).await else {
        panic!("it was due");
    };
    assert_eq!(
        settle(&f, due(2)).await,
        Settled::Skipped { unfinished: first }
    );
    let claimed = f.claim(&["app"]).await.unwrap();
    assert_eq!(
        settle(&f, due(3)).await,
        Settled::Skipped { unfinished: first }
    );
    f.queue
        .finish(&claimed.lease, &Outcome::Failed(failure(true)))
        .await
        .unwrap();
    assert_eq!(
        f.state(first).await,
        "queued",
        "it waits for its next attempt"
    );
    assert_eq!(
        settle(&f, due(4)).await,
        Settled::Skipped { unfinished: first }
    );
    f.cancel(first).await;
    // What was skipped is not made up for.
    assert_eq!(settle(&f, due(4)).await, Settled::Already);
    assert!(matches!(settle(&f, due(5)).await, Settled::Enqueued(_)));
    // A job that somebody else asked for is none of the schedule's.
    let last = settle(&f, due(6)).await;
    let Settled::Skipped { unfinished } = last else {
        panic!("{last:?}");
    };
    f.cancel(unfinished).await;
    f.enqueue("app", &[]).await;
    assert!(matches!(settle(&f, due(7)).await, Settled::Enqueued(_)));
}

#[tokio::test]
async fn a_schedule_that_was_replaced_is_new_when_it_comes_back() {
    let f = fixture().await;
    missed(&f).await;
    unseen_for(&f, NIGHTLY, "11 minutes").await;
    keep(&f.queue, Some(HOURLY)).await.unwrap();
    assert_eq!(schedules(&f).await, [HOURLY]);
    let back = keep(&f.queue, Some(NIGHTLY)).await.unwrap();
    assert!(back.now - back.due_at < TimeDelta::minutes(1));
}

#[tokio::test]
async fn a_schedule_whose_backup_still_runs_is_not_forgotten() {
    let f = fixture().await;
    let due = missed(&f).await.due_at + TimeDelta::days(1);
    let Settled::Enqueued(first) = settle(&f, due).await else {
        panic!("it was due");
    };
    unseen_for(&f, NIGHTLY, "11 minutes").await;
    keep(&f.queue, Some(HOURLY)).await.unwrap();
    assert_eq!(schedules(&f).await, [HOURLY, NIGHTLY]);
    keep(&f.queue, Some(NIGHTLY)).await.unwrap();
    let next = settle(&f, due + TimeDelta::days(1)).await;
    assert_eq!(next, Settled::Skipped { unfinished: first });
}

#[tokio::test]
async fn two_daemons_with_different_schedules_do_not_forget_each_others() {
    let f = fixture().await;
    let kept = missed(&f).await;
    unseen_for(&f, NIGHTLY, "9 minutes").await;
    keep(&f.queue, Some(HOURLY)).await.unwrap();
    assert_eq!(
        keep(&f.queue, Some(NIGHTLY)).await.unwrap().due_at,
        kept.due_at
    );
    assert_eq!(schedules(&f).await, [HOURLY, NIGHTLY]);
}

#[tokio::test]
async fn a_daemon_without_the_schedule_forgets_it_after_a_week() {
    let f = fixture().await;
    missed(&f).await;
    unseen_for(&f, NIGHTLY, "6 days").await;
    assert!(keep(&f.queue, None).await.is_none());
    assert_eq!(schedules(&f).await, [NIGHTLY]);
    unseen_for(&f, NIGHTLY, "8 days").await;
    assert!(keep(&f.queue, None).await.is_none());
    assert!(schedules(&f).await.is_empty());
}

#[tokio::test]
async fn a_clock_that_was_far_ahead_for_a_moment_silences_no_schedule() {
    let f = fixture().await;
    missed(&f).await;
    f.db.execute("UPDATE pgdumpd.schedules SET due_at = clock_timestamp() + interval '4 years'")
        .await;
    let kept = keep(&f.queue, Some(NIGHTLY)).await.unwrap();
    assert!(kept.due_at <= kept.now);
    // A second that comes twice is not due twice.
    f.db.execute("UPDATE pgdumpd.schedules SET due_at = clock_timestamp() + interval '1 minute'")
        .await;
    let kept = keep(&f.queue, Some(NIGHTLY)).await.unwrap();
    assert!(kept.due_at > kept.now);
}

#[tokio::test]
async fn an_adopted_clone_catches_up_with_nothing() {
    let f = fixture().await;
    missed(&f).await;
    f.queue.reset_identity().await.unwrap().unwrap();
    assert!(schedules(&f).await.is_empty());
}

#[tokio::test]
async fn rows_of_ended_jobs_can_be_deleted_although_a_schedule_names_them() {
    let f = fixture().await;
    let due = missed(&f).await.due_at + TimeDelta::days(1);
    settle(&f, due).await;
    f.db.execute("DELETE FROM pgdumpd.backup_jobs").await;
    let next = settle(&f, due + TimeDelta::days(1)).await;
    assert!(matches!(next, Settled::Enqueued(_)));
}

#[tokio::test]
async fn a_daemon_that_was_granted_its_rights_before_schedules_has_them_after_the_migration() {
    let cluster = cluster().await;
    let (db, daemon) = (cluster.database().await, cluster.role("").await);
    let reader = cluster.role("").await;
    let grants = Grants {
        daemons: vec![daemon.name.clone()],
        readers: vec![reader.name.clone()],
        ..Grants::default()
    };
    let script = print(&grants, None);
    let (before, _) = script.split_once("\n-- Migration 5").unwrap();
    let (_, rights) = script.rsplit_once("\n-- Rights\n").unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("{before}\n-- {rights}")))
        .execute(&db.pool().await)
        .await
        .unwrap();
    let applied = migrate(&db.pool().await, &Grants::default()).await.unwrap();
    assert!(applied.versions.starts_with(&[5]), "{applied:?}");
    let queue = Queue::connect(&config(&db.url_as(&daemon.name)))
        .await
        .unwrap();
    let kept = keep(&queue, Some(NIGHTLY)).await.unwrap();
    let settled = queue.settle_schedule("app", NIGHTLY, kept.now).await;
    assert!(matches!(settled.unwrap(), Settled::Enqueued(_)));
    queue.reset_identity().await.unwrap().unwrap();
    let reading = sqlx::PgPool::connect(&db.url_as(&reader.name))
        .await
        .unwrap();
    let seen: Vec<Option<Uuid>> = sqlx::query_scalar("SELECT job_id FROM pgdumpd.schedules")
        .fetch_all(&reading)
        .await
        .unwrap();
    assert!(seen.is_empty());
}

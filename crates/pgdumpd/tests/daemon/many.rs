//! Several daemons on one queue: who gets what, once, and when.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use pgdumpd_client::{BackupRequest, JobState};
use pgdumpd_testkit::{Database, eventually};
use uuid::Uuid;

use crate::harness::{SOON, World};

const TARGETS: usize = 10;
const JOBS: usize = 50;

/// A world with small targets `t0`, `t1`, ...
async fn with_targets() -> (World, Vec<Database>) {
    let mut world = World::new().await;
    world.set("daemon", "max_jobs", "2");
    let mut databases = Vec::new();
    for number in 0..TARGETS {
        let database = world.add_target(&format!("t{number}")).await;
        database
            .execute("CREATE TABLE t AS SELECT generate_series(1, 100) AS a")
            .await;
        databases.push(database);
    }
    (world, databases)
}

/// Targets that two jobs run on at this moment, by the rows and by what the server sees.
async fn shared_targets(world: &World, databases: &[Database]) -> Vec<String> {
    let names: Vec<&str> = databases.iter().map(Database::name).collect();
    sqlx::query_scalar(
        "SELECT target FROM pgdumpd.backup_jobs WHERE state = 'running' GROUP BY target HAVING count(*) > 1
         UNION ALL
         SELECT datname FROM pg_stat_activity
         WHERE datname = ANY ($1) AND application_name LIKE 'pgdumpd %' AND state = 'active'
         GROUP BY datname HAVING count(DISTINCT application_name) > 1",
    )
    .bind(&names)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn fifty_jobs_over_four_daemons_run_exactly_once_each_and_never_two_on_one_target() {
    let (world, databases) = with_targets().await;
    let mut jobs: BTreeSet<Uuid> = BTreeSet::new();
    for number in 0..JOBS / 2 {
        let request = BackupRequest::new(format!("t{}", number % TARGETS));
        jobs.insert(world.enqueue_request(request).await);
    }
    let daemons = tokio::join!(
        world.daemon(),
        world.daemon(),
        world.daemon(),
        world.daemon()
    );
    for number in JOBS / 2..JOBS {
        let request = BackupRequest::new(format!("t{}", number % TARGETS));
        jobs.insert(world.enqueue_request(request).await);
    }
    eventually("all jobs have ended", SOON * 2, async || {
        assert_eq!(
            shared_targets(&world, &databases).await,
            Vec::<String>::new()
        );
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pgdumpd.backup_jobs WHERE finished_at IS NULL",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        (open == 0).then_some(())
    })
    .await;

    let attempts: Vec<(Uuid, i16, String, Uuid)> =
        sqlx::query_as("SELECT job_id, attempt, outcome, worker_id FROM pgdumpd.backup_attempts")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert!(
        attempts
            .iter()
            .all(|(_, attempt, outcome, _)| (*attempt, outcome.as_str()) == (1, "succeeded")),
        "{attempts:#?}"
    );
    assert_eq!(attempts.len(), JOBS);
    let ran: BTreeSet<Uuid> = attempts.iter().map(|(job, ..)| *job).collect();
    assert_eq!(ran, jobs);
    let workers: BTreeSet<Uuid> = attempts.iter().map(|(.., worker)| *worker).collect();
    assert!(workers.len() > 1, "one daemon did it all");
    let overlaps: i64 = sqlx::query_scalar(
        "SELECT count(*)
         FROM (pgdumpd.backup_attempts AS a JOIN pgdumpd.backup_jobs AS aj ON aj.id = a.job_id)
         JOIN (pgdumpd.backup_attempts AS b JOIN pgdumpd.backup_jobs AS bj ON bj.id = b.job_id)
           ON aj.target = bj.target AND a.lease_token < b.lease_token
          AND a.started_at < b.ended_at AND b.started_at < a.ended_at",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(overlaps, 0);
    assert_eq!(world.backups().len(), JOBS, "one manifest each");
    let (first, second, third, fourth) = daemons;
    tokio::join!(first.stop(), second.stop(), third.stop(), fourth.stop());
}

#[tokio::test]
async fn a_daemon_with_one_place_takes_the_best_priority_first_and_then_the_oldest() {
    let mut world = World::new().await;
    world.set("daemon", "max_jobs", "1");
    world.add_target("other").await;
    let now = world.now().await;
    // Priority, age in seconds, target.
    let asked = [
        (3, 10, "shop"),
        (5, 90, "other"),
        (1, 20, "other"),
        (3, 30, "other"),
        (2, 40, "shop"),
        (1, 50, "shop"),
    ];
    let mut expected = Vec::new();
    for (priority, age, target) in asked {
        let request = BackupRequest::new(target)
            .priority(priority)
            .run_at(now - TimeDelta::seconds(age));
        let id = world.enqueue_request(request).await;
        expected.push((priority, -age, id));
    }
    expected.sort_unstable();
    let _daemon = world.daemon().await;
    for (.., id) in &expected {
        world.succeeded(*id).await;
    }
    let ran: Vec<Uuid> =
        sqlx::query_scalar("SELECT job_id FROM pgdumpd.backup_attempts ORDER BY started_at")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let expected: Vec<Uuid> = expected.into_iter().map(|(.., id)| id).collect();
    assert_eq!(ran, expected);
}

#[tokio::test]
async fn a_job_starts_when_it_falls_due_and_not_before() {
    let mut world = World::new().await;
    // Neither a poll nor a notification helps: the daemon knows when the next job falls due.
    world.set("daemon", "poll_interval", "\"1h\"");
    let _daemon = world.daemon().await;
    let due: DateTime<Utc> = world.now().await + TimeDelta::milliseconds(1500);
    let id = world
        .enqueue_request(BackupRequest::new("shop").priority(1).run_at(due))
        .await;
    // A later one of a lower priority is not kept waiting by it.
    let at_once = world
        .enqueue_request(BackupRequest::new("shop").priority(5))
        .await;
    world.succeeded(at_once).await;
    assert!(matches!(
        world.status(id).await.state,
        JobState::Queued | JobState::Running
    ));
    world.succeeded(id).await;
    let started = world.attempts(id).await[0].started_at;
    let waited = started - due;
    assert!(
        waited >= TimeDelta::zero() && waited < TimeDelta::seconds(5),
        "started {waited} after it was due"
    );
}

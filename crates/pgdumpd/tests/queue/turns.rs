//! Whoever asks takes turns with the others.

use std::collections::BTreeMap;

use pgdumpd::queue::Outcome;
use pgdumpd_testkit::cluster;

use crate::fixture::{Fixture, failure, fixture, success};

/// Claims the next job of these targets, ends it, and says who asked for it.
async fn serve(f: &Fixture, targets: &[&str]) -> String {
    let job = f.claim(targets).await.expect("a job is due");
    let outcome = Outcome::Succeeded(Box::new(success()));
    f.queue.finish(&job.lease, &outcome).await.unwrap();
    job.requested_by
}

#[tokio::test]
async fn a_hundred_thousand_jobs_of_one_role_keep_another_waiting_for_one_backup_at_most() {
    let f = fixture().await;
    f.db.execute(&format!(
        "INSERT INTO pgdumpd.backup_jobs (target, requested_by, run_at)
         SELECT 'a', '{}', now() - interval '1 day' FROM generate_series(1, 100000)",
        f.producer.name
    ))
    .await;
    assert_eq!(serve(&f, &["a"]).await, f.producer.name);
    let operators = f.enqueue("a", &[]).await;
    let job = f.claim(&["a"]).await.expect("a job is due");
    assert_eq!(job.lease.job, operators);
}

#[tokio::test]
async fn roles_take_turns_at_one_target_also_where_their_jobs_fail() {
    let f = fixture().await;
    let second = cluster().await.role("").await;
    f.flood("a", &f.producer, 20).await;
    f.db.execute("UPDATE pgdumpd.backup_jobs SET priority = 3")
        .await;
    f.flood("a", &second, 20).await;
    f.db.execute("UPDATE pgdumpd.backup_jobs SET priority = 3")
        .await;
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..10 {
        let job = f.claim(&["a"]).await.expect("a job is due");
        let outcome = Outcome::Failed(failure(true));
        f.queue.finish(&job.lease, &outcome).await.unwrap();
        *served.entry(job.requested_by).or_default() += 1;
    }
    assert_eq!(served.values().copied().collect::<Vec<_>>(), [5, 5]);
}

#[tokio::test]
async fn a_backlog_at_one_target_holds_up_no_other_target() {
    let f = fixture().await;
    let second = cluster().await.role("").await;
    f.flood("a", &f.producer, 100).await;
    f.flood("b", &second, 1).await;
    f.db.execute("UPDATE pgdumpd.backup_jobs SET priority = 3")
        .await;
    // As a daemon that runs one job at a time.
    assert_eq!(serve(&f, &["a", "b"]).await, f.producer.name);
    assert_eq!(serve(&f, &["a", "b"]).await, second.name);
}

#[tokio::test]
async fn a_better_priority_comes_first_whoevers_turn_it_is() {
    let f = fixture().await;
    let second = cluster().await.role("").await;
    for role in [&f.producer, &second] {
        f.flood("a", role, 10).await;
    }
    let mut served = Vec::new();
    for _ in 0..4 {
        let job = f.claim(&["a"]).await.expect("a job is due");
        let outcome = Outcome::Succeeded(Box::new(success()));
        f.queue.finish(&job.lease, &outcome).await.unwrap();
        served.push(f.column(job.lease.job, "priority").await.unwrap());
    }
    assert_eq!(served, ["1", "1", "1", "1"]);
}

//! The order in which backups are kept, and the decision to delete one.

use chrono::{DateTime, Utc};
use pgdumpd::migrate::MIGRATIONS;
use pgdumpd::queue::{ClaimedJob, Finished, KeptBackup, KnownBackup, Outcome, Queue, Success};
use serde_json::json;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::copies::{copied, storages};
use crate::fixture::{Fixture, LEASE, failure, fixture, names, success};

const LOCAL: Uuid = Uuid::from_u128(7);
const OFFSITE: Uuid = Uuid::from_u128(8);

impl Fixture {
    /// Claims a backup of `app` and notes its key, as an attempt does before it stores anything.
    pub(crate) async fn storing(&self, key: &str) -> ClaimedJob {
        let job = self.running("app").await;
        self.note(&job, key).await;
        job
    }

    pub(crate) async fn note(&self, job: &ClaimedJob, key: &str) {
        let recorded = self
            .queue
            .record_upload(&job.lease, "local", LOCAL, key, None)
            .await;
        assert!(recorded.unwrap());
    }

    /// Ends a job as succeeded, with this key.
    pub(crate) async fn ends(&self, job: &ClaimedJob, key: &str, copies: &[&str]) {
        let success = Success {
            object_key: key.into(),
            copies: names(copies),
            ..success()
        };
        let outcome = Outcome::Succeeded(Box::new(success));
        let ended = self.queue.finish(&job.lease, &outcome).await.unwrap();
        assert_eq!(ended, Finished::Ended("succeeded"));
    }

    pub(crate) async fn stored(&self, key: &str, copies: &[&str]) -> ClaimedJob {
        let job = self.storing(key).await;
        self.ends(&job, key, copies).await;
        job
    }

    pub(crate) async fn copy_claimed(&self) -> ClaimedJob {
        let served = storages(&["local", "offsite"]);
        let claimed = self.queue.claim_copy(self.worker, &served, LEASE).await;
        claimed.unwrap().expect("a copy was due")
    }

    async fn kept(&self, storage: Uuid) -> Vec<KeptBackup> {
        self.queue.kept_backups("app", storage).await.unwrap()
    }

    async fn age(&self, storage: Uuid, key: &str) -> Option<DateTime<Utc>> {
        let kept = self.kept(storage).await;
        let found = kept.iter().find(|backup| backup.object_key == key);
        found
            .unwrap_or_else(|| panic!("{key}: {kept:?}"))
            .claimed_at
    }

    async fn ages(&self, storage: Uuid) -> Vec<(String, Option<DateTime<Utc>>)> {
        let kept = self.kept(storage).await.into_iter();
        kept.map(|kept| (kept.object_key, kept.claimed_at))
            .collect()
    }

    /// Forgets all ages, and does what the migration does that brings them.
    async fn find_ages_again(&self) {
        self.db
            .execute("UPDATE pgdumpd.backup_copies SET claimed_at = NULL")
            .await;
        let migration = MIGRATIONS.iter().find(|m| m.name == "retention").unwrap();
        let updates: Vec<&str> = migration.sql.split("\nUPDATE ").skip(1).collect();
        assert_eq!(updates.len(), 2);
        for update in updates {
            let update = update.split(";\n").next().unwrap();
            self.db.execute(&format!("UPDATE {update}")).await;
        }
    }

    async fn begin(&self, key: &str, kept: &[&str], at_least: u32) -> bool {
        let kept = names(kept);
        self.queue
            .begin_deletion(LOCAL, key, &kept, at_least)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_backup_is_as_old_as_the_attempt_that_dumped_it_whichever_way_it_was_recorded() {
    let f = fixture().await;
    // Dumped and recorded.
    let plain = f.stored("plain", &["offsite"]).await;
    assert_eq!(f.age(LOCAL, "plain").await, Some(plain.claimed_at));
    // Copied.
    let copy = f.copy_claimed().await;
    let outcome = Outcome::Copied(Box::new(copied("offsite", "plain-copy")));
    f.queue.finish(&copy.lease, &outcome).await.unwrap();
    assert_eq!(f.age(OFFSITE, "plain-copy").await, Some(plain.claimed_at));

    // Adopted by a later attempt, which the clock calls an earlier one.
    let first = f.storing("adopted").await;
    f.expire(first.lease.job).await;
    f.queue.reap(5).await.unwrap();
    f.make_due().await;
    let second = f.claim(&["app"]).await.unwrap();
    f.db.execute(&format!(
        "UPDATE pgdumpd.backup_attempts SET started_at = started_at - interval '1 day' WHERE lease_token = '{}'",
        second.lease.token
    ))
    .await;
    f.ends(&second, "adopted", &[]).await;
    assert_eq!(f.age(LOCAL, "adopted").await, Some(first.claimed_at));

    // Recorded by fsck after its job had failed, or was cancelled; and copied then.
    for cancel in [false, true] {
        // Copies are asked for of the queue's own backups alone.
        let key = format!("{}/repaired-{cancel}", f.queue.id());
        let lost = f.storing(&key).await;
        if cancel {
            f.cancel(lost.lease.job).await;
        }
        f.expire(lost.lease.job).await;
        f.queue.reap(0).await.unwrap();
        let id = lost.lease.job;
        assert!(
            f.queue
                .record_copy(id, "local", LOCAL, &key, 5)
                .await
                .unwrap()
        );
        assert_eq!(f.age(LOCAL, &key).await, Some(lost.claimed_at), "{key}");
        f.queue.ask_for_copy(id, "offsite").await.unwrap().unwrap();
        let copy = f.copy_claimed().await;
        let to = format!("{key}-copy");
        let outcome = Outcome::Copied(Box::new(copied("offsite", &to)));
        f.queue.finish(&copy.lease, &outcome).await.unwrap();
        assert_eq!(f.age(OFFSITE, &to).await, Some(lost.claimed_at), "{to}");
    }

    // A copy whose daemon died is recorded by fsck.
    let plain_again = f.stored("original", &["offsite"]).await;
    let copy = f.copy_claimed().await;
    let recorded = f
        .queue
        .record_upload(&copy.lease, "offsite", OFFSITE, "found-copy", None);
    assert!(recorded.await.unwrap());
    let failed = Outcome::Failed(failure(false));
    f.queue.finish(&copy.lease, &failed).await.unwrap();
    let id = plain_again.lease.job;
    let recorded = f.queue.record_copy(id, "offsite", OFFSITE, "found-copy", 5);
    assert!(recorded.await.unwrap());
    assert_eq!(
        f.age(OFFSITE, "found-copy").await,
        Some(plain_again.claimed_at)
    );

    // And a queue that did not know ages finds the same ones when it is migrated.
    let ages = [f.ages(LOCAL).await, f.ages(OFFSITE).await];
    f.find_ages_again().await;
    assert_eq!([f.ages(LOCAL).await, f.ages(OFFSITE).await], ages);
}

/// A backup as a manifest says it.
pub(crate) fn known(
    key: &str,
    claimed_at: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
) -> KnownBackup {
    KnownBackup {
        id: Uuid::new_v4(),
        target: "app".into(),
        spec: json!({}),
        requested_by: "somebody".into(),
        attempt: 1,
        lease_token: Uuid::new_v4(),
        claimed_at,
        started_at,
        database_name: "shop".into(),
        system_identifier: None,
        finished_at: started_at,
        size_bytes: 5,
        sha256: "ab".repeat(32),
        tables: None,
        rows: None,
        dump_bytes: 5,
        warnings: json!([]),
        warnings_total: 0,
        storage: "local".into(),
        storage_id: LOCAL,
        object_key: key.into(),
        object_token: Uuid::new_v4(),
    }
}

#[tokio::test]
async fn a_rebuilt_queue_has_the_order_of_the_lost_one_and_not_that_of_the_daemons_clocks() {
    let f = fixture().await;
    let owner = Queue::connect(&crate::fixture::config(&f.db.url()))
        .await
        .unwrap();
    let now = Utc::now();
    let ago = |hours: i64| now - chrono::TimeDelta::hours(hours);
    let backups = [
        // Its daemon's clock was a day ahead.
        known("older", Some(ago(3)), ago(-24)),
        known("newer", Some(ago(2)), ago(2)),
        known("before-claims-were-recorded", None, ago(1)),
        // No manifest may say that it is the newest for years.
        known("of-the-future", Some(ago(-24 * 365)), ago(0)),
    ];
    owner.rebuild(owner.id(), &backups).await.unwrap();
    let kept = f.kept(LOCAL).await;
    let ages: Vec<(&str, bool)> = kept
        .iter()
        .map(|kept| (kept.object_key.as_str(), kept.claimed_at.is_some()))
        .collect();
    assert_eq!(
        ages,
        [
            ("newer", true),
            ("older", true),
            ("of-the-future", false),
            ("before-claims-were-recorded", false),
        ]
    );
    // Repaired afterwards, an unknown age does not become known.
    let (id, key) = (backups[2].id, "before-claims-were-recorded");
    f.queue.mark_copy_deleted(LOCAL, key).await.unwrap();
    assert!(
        f.queue
            .record_copy(id, "local", LOCAL, key, 5)
            .await
            .unwrap()
    );
    assert_eq!(f.age(LOCAL, key).await, None);
    f.find_ages_again().await;
    assert!(f.ages(LOCAL).await.iter().all(|(_, age)| age.is_none()));
}

#[tokio::test]
async fn a_deletion_begins_only_while_enough_newer_backups_are_stored() {
    let f = fixture().await;
    for key in ["a", "b", "c"] {
        f.stored(key, &[]).await;
    }
    assert!(!f.begin("a", &[], 0).await, "nothing is kept in its place");
    assert!(!f.begin("a", &["b", "c"], 3).await);
    assert!(!f.begin("b", &["a"], 1).await, "what is kept is older");
    assert!(!f.begin("b", &["b"], 1).await, "what is kept is itself");
    assert!(!f.begin("b", &["unknown"], 1).await);
    f.db.execute("UPDATE pgdumpd.queue SET id = gen_random_uuid()")
        .await;
    assert!(!f.begin("a", &["b"], 1).await, "another queue");
    f.db.execute(&format!("UPDATE pgdumpd.queue SET id = '{}'", f.queue.id()))
        .await;
    assert!(f.begin("b", &["c"], 1).await);
    assert!(!f.begin("b", &["c"], 1).await, "it has begun");
    assert!(!f.begin("a", &["b"], 1).await, "b is being deleted");
    f.queue.mark_copy_deleted(LOCAL, "b").await.unwrap();
    assert!(!f.begin("a", &["b"], 1).await, "b is deleted");
    assert!(f.begin("a", &["b", "c"], 1).await);
    let kept = f.kept(LOCAL).await;
    let kept: Vec<_> = kept
        .iter()
        .map(|k| (k.object_key.as_str(), k.deleting))
        .collect();
    assert_eq!(kept, [("c", false), ("a", true)]);
}

#[tokio::test]
async fn an_age_that_is_not_known_decides_nothing() {
    let f = fixture().await;
    for key in ["a", "b", "c"] {
        f.stored(key, &[]).await;
    }
    f.db.execute(
        "UPDATE pgdumpd.backup_copies SET claimed_at = NULL WHERE object_key IN ('a', 'c')",
    )
    .await;
    assert!(!f.begin("a", &["b", "c"], 1).await);
    assert!(!f.begin("b", &["c"], 1).await);
}

#[tokio::test]
async fn what_a_running_copy_reads_stays_and_what_a_waiting_one_would_read_does_not() {
    let f = fixture().await;
    f.stored("a", &["offsite"]).await;
    f.stored("b", &[]).await;
    let copy = f.copy_claimed().await;
    assert!(!f.begin("a", &["b"], 1).await);
    f.queue
        .finish(&copy.lease, &Outcome::Failed(failure(true)))
        .await
        .unwrap();
    assert!(f.begin("a", &["b"], 1).await);
}

#[tokio::test]
async fn a_deletion_waits_for_one_that_is_decided_at_this_moment_and_does_not_count_on_it() {
    let f = fixture().await;
    for key in ["a", "b", "c"] {
        f.stored(key, &[]).await;
    }
    // Somebody deletes b, and has not committed yet.
    let mut other = sqlx::PgConnection::connect(&f.db.url()).await.unwrap();
    sqlx::raw_sql(
        "BEGIN; UPDATE pgdumpd.backup_copies SET state = 'deleting' WHERE object_key = 'b'",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let queue = f.queue.clone();
    let kept = names(&["b"]);
    let deciding = tokio::spawn(async move { queue.begin_deletion(LOCAL, "a", &kept, 1).await });
    pgdumpd_testkit::eventually("it waits", LEASE, async || {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())",
        )
        .fetch_one(&f.admin)
        .await
        .unwrap();
        waits.then_some(())
    })
    .await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert!(!deciding.await.unwrap().unwrap());
}

#[tokio::test]
async fn roles_that_act_for_all_jobs_are_counted_together_and_every_producer_by_itself() {
    let f = fixture().await;
    let pools = [&f.daemon, &f.producer].map(|role| f.db.url_as(&role.name));
    for (number, url) in pools.iter().enumerate() {
        let mut session = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql("INSERT INTO pgdumpd.backup_jobs (target) VALUES ('app')")
            .execute(&mut session)
            .await
            .unwrap();
        let job = f.claim(&["app"]).await.unwrap();
        f.ends(&job, &format!("key-{number}"), &[]).await;
    }
    f.stored("key-2", &[]).await;
    let gone = "UPDATE pgdumpd.backup_jobs SET requested_by = 'gone' WHERE id = (SELECT job_id FROM pgdumpd.backup_copies WHERE object_key = 'key-3')";
    f.stored("key-3", &[]).await;
    f.db.execute(&format!("SET session_replication_role = replica; {gone}"))
        .await;
    let kept = f.kept(LOCAL).await;
    let mut producers: Vec<(&str, Option<&str>)> = kept
        .iter()
        .map(|kept| (kept.object_key.as_str(), kept.producer.as_deref()))
        .collect();
    producers.sort_unstable();
    let expected = [
        ("key-0", None),
        ("key-1", Some(f.producer.name.as_str())),
        ("key-2", None),
        ("key-3", Some("gone")),
    ];
    assert_eq!(producers, expected);
}

#[tokio::test]
async fn what_is_recorded_after_its_deletion_was_requested_is_to_be_deleted() {
    let f = fixture().await;
    let key = format!("{}/app/late", f.queue.id());
    let lost = f.storing(&key).await;
    let id = lost.lease.job;
    f.cancel(id).await;
    f.expire(id).await;
    f.queue.reap(0).await.unwrap();
    let asked = f.queue.request_deletion(id, true).await.unwrap();
    assert!(asked.unwrap().has_ended);
    // The daemon that notes it had looked before.
    let recorded = f.queue.record_copy(id, "local", LOCAL, &key, 5);
    assert!(recorded.await.unwrap());
    let unfinished = f.queue.deletions_to_finish(&[LOCAL], 10, &[]);
    let unfinished = unfinished.await.unwrap();
    assert_eq!(unfinished.len(), 1, "{unfinished:?}");
    assert_eq!(unfinished[0].object_key, key);
    assert!(unfinished[0].requested);
}

#[tokio::test]
async fn what_a_daemon_began_to_delete_is_for_any_daemon_to_finish() {
    let f = fixture().await;
    let [older, newer] = ["older", "newer"].map(|name| format!("{}/app/{name}", f.queue.id()));
    f.stored(&older, &[]).await;
    f.stored(&newer, &[]).await;
    let kept = [newer];
    let begun = f.queue.begin_deletion(LOCAL, &older, &kept, 1);
    assert!(begun.await.unwrap());
    let unfinished = f.queue.deletions_to_finish(&[LOCAL], 10, &[]);
    let unfinished = unfinished.await.unwrap();
    assert_eq!(unfinished.len(), 1, "{unfinished:?}");
    assert_eq!(unfinished[0].object_key, older);
    assert!(!unfinished[0].requested);
}

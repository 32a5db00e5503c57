//! Copies as jobs: who asks for them, who makes them, and what they never disturb.

use std::time::Duration;

use pgdumpd::migrate::{Grants, migrate, print};
use pgdumpd::queue::{
    ClaimedJob, CopyOrder, Finished, Outcome, Queue, ServedStorage, Success, Work, Worker,
};
use pgdumpd_testkit::cluster;
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use uuid::Uuid;

use crate::fixture::{
    Fixture, LEASE, config, failure, fixture, names, progress, qualified, success,
};

/// The statements of the last daemon that knew no copies.
mod before {
    pub(super) const CLAIM: &str = include_str!("before_copies/claim.sql");
    pub(super) const NEXT_DUE: &str = include_str!("before_copies/next_due.sql");
    pub(super) const REGISTER: &str = include_str!("before_copies/register_worker.sql");
    pub(super) const SUCCEEDED: &str = include_str!("before_copies/finish_succeeded.sql");
    pub(super) const LEFTOVERS: &str = include_str!("before_copies/leftovers.sql");
}

const CHECK_VIOLATION: &str = "23514";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const UNIQUE_VIOLATION: &str = "23505";

/// The id of the storage that [`success`] stores in.
const LOCAL: Uuid = Uuid::from_u128(7);
const OFFSITE: Uuid = Uuid::from_u128(8);

pub(crate) fn storages(names: &[&str]) -> Vec<ServedStorage> {
    let served = |name: &&str| ServedStorage {
        name: (*name).to_owned(),
        id: None,
    };
    names.iter().map(served).collect()
}

fn served(name: &str, id: Uuid) -> ServedStorage {
    ServedStorage {
        name: name.to_owned(),
        id: Some(id),
    }
}

/// The end of a backup whose target has these copies.
pub(crate) fn success_with(copies: &[&str]) -> Success {
    Success {
        copies: names(copies),
        ..success()
    }
}

/// The end of a copy.
pub(crate) fn copied(to: &str, key: &str) -> Success {
    Success {
        storage: to.into(),
        storage_id: OFFSITE,
        object_key: key.into(),
        ..success()
    }
}

impl Fixture {
    async fn claim_copy(&self, names: &[&str]) -> Option<ClaimedJob> {
        let claimed = self
            .queue
            .claim_copy(self.worker, &storages(names), LEASE)
            .await;
        claimed.unwrap()
    }

    async fn finish(&self, job: &ClaimedJob, outcome: Outcome) -> Finished {
        self.queue.finish(&job.lease, &outcome).await.unwrap()
    }

    /// A backup that has succeeded, and is to be copied there.
    async fn backed_up(&self, target: &str, copies: &[&str]) -> Uuid {
        let job = self.running(target).await;
        let outcome = Outcome::Succeeded(Box::new(success_with(copies)));
        assert_eq!(
            self.finish(&job, outcome).await,
            Finished::Ended("succeeded")
        );
        job.lease.job
    }

    /// The only copy of a backup to a storage.
    async fn copy(&self, of: Uuid, to: &str) -> Uuid {
        sqlx::query_scalar("SELECT id FROM pgdumpd.backup_jobs WHERE copy_of = $1 AND copy_to = $2")
            .bind(of)
            .bind(to)
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    /// One column of a job in the view, as text.
    async fn seen(&self, job: Uuid, column: &str) -> Option<String> {
        let sql = format!("SELECT ({column})::text FROM pgdumpd.backup_status WHERE id = $1");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(job)
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    async fn register(&self, served: &[&str], max_copies: i32) {
        self.register_storages(&storages(served), max_copies).await;
    }

    async fn register_storages(&self, storages: &[ServedStorage], max_copies: i32) {
        let worker = Worker {
            id: self.worker,
            host: "db1".into(),
            pid: 1,
            version: "1".into(),
            max_jobs: 1,
            max_copies,
            lease: LEASE,
        };
        let (targets, storages) = (names(&["app"]), storages.to_vec());
        self.queue
            .register(&worker, &targets, &storages, &serde_json::json!({}), false)
            .await
            .unwrap();
    }

    async fn login(&self, role: &pgdumpd_testkit::Role) -> PgPool {
        qualified(&self.db.url_as(&role.name)).await
    }
}

async fn code(pool: &PgPool, sql: &str) -> Option<String> {
    let error = sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(pool)
        .await
        .err()?;
    Some(error.as_database_error()?.code()?.into_owned())
}

#[tokio::test]
async fn the_end_of_a_backup_asks_for_its_copies_which_belong_to_whoever_asked_for_it() {
    let f = fixture().await;
    let producer = f.login(&f.producer).await;
    let backup: Uuid = sqlx::query_scalar(
        r#"INSERT INTO pgdumpd.backup_jobs (target, spec, priority) VALUES ('app', '{"label": "x"}', 1) RETURNING id"#,
    )
    .fetch_one(&producer)
    .await
    .unwrap();
    let job = f.claim(&["app"]).await.unwrap();
    assert_eq!(job.work, Work::Backup);
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "0 of 1");
    let outcome = Outcome::Succeeded(Box::new(success_with(&["offsite", "tape"])));
    assert_eq!(f.finish(&job, outcome).await, Finished::Ended("succeeded"));
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "1 of 3");
    let rows: Vec<(String, String, String, i16, i16, String, String)> = sqlx::query_as(
        "SELECT kind, copy_to, target, priority, max_attempts, label, copies FROM pgdumpd.backup_status
         WHERE copy_of = $1 ORDER BY copy_to",
    )
    .bind(backup)
    .fetch_all(&producer)
    .await
    .unwrap();
    let row = |to: &str| {
        (
            "copy".to_owned(),
            to.to_owned(),
            "app".to_owned(),
            6,
            100,
            "x".to_owned(),
            "1 of 3".to_owned(),
        )
    };
    assert_eq!(rows, [row("offsite"), row("tape")]);
    let tape = f.copy(backup, "tape").await;
    let said: String = sqlx::query_scalar("SELECT pgdumpd.cancel_backup($1)")
        .bind(tape)
        .fetch_one(&producer)
        .await
        .unwrap();
    assert_eq!(said, "cancelled");
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "1 of 2");
}

#[tokio::test]
async fn a_finish_that_is_repeated_asks_for_no_second_copy() {
    let f = fixture().await;
    let job = f.running("app").await;
    let outcome = Outcome::Succeeded(Box::new(success_with(&["offsite"])));
    f.queue.finish(&job.lease, &outcome).await.unwrap();
    let before = f.everything().await;
    let again = f.queue.finish(&job.lease, &outcome).await.unwrap();
    assert_eq!(again, Finished::Ended("succeeded"));
    assert_eq!(f.everything().await, before);
}

#[tokio::test]
async fn a_producer_cannot_forge_a_copy_and_a_daemon_none_of_another_roles_name() {
    let f = fixture().await;
    let backup = f.backed_up("app", &[]).await;
    let before = f.everything().await;
    let producer = f.login(&f.producer).await;
    let daemon = f.login(&f.daemon).await;
    for (pool, sql, wanted) in [
        (
            &producer,
            "(kind, target) VALUES ('copy', 'app')".to_owned(),
            CHECK_VIOLATION,
        ),
        (
            &producer,
            "(kind, target, priority) VALUES ('copy', 'app', 6)".to_owned(),
            CHECK_VIOLATION,
        ),
        (
            &producer,
            "(target, priority) VALUES ('app', 6)".to_owned(),
            CHECK_VIOLATION,
        ),
        (
            &producer,
            format!(
                "(kind, target, copy_of, copy_to) VALUES ('copy', 'app', '{backup}', 'offsite')"
            ),
            INSUFFICIENT_PRIVILEGE,
        ),
        (
            &producer,
            format!("(target, copy_of) VALUES ('app', '{backup}')"),
            INSUFFICIENT_PRIVILEGE,
        ),
        (
            &producer,
            "(target, copy_to) VALUES ('app', 'offsite')".to_owned(),
            INSUFFICIENT_PRIVILEGE,
        ),
        (
            &daemon,
            format!(
                "(kind, copy_of, copy_to, requested_by) VALUES ('copy', '{backup}', 'offsite', 'x')"
            ),
            INSUFFICIENT_PRIVILEGE,
        ),
        (
            &daemon,
            format!("(target, copy_of, copy_to) VALUES ('app', '{backup}', 'offsite')"),
            CHECK_VIOLATION,
        ),
        (
            &daemon,
            format!("(kind, target, copy_to) VALUES ('copy', 'app', '{backup}')"),
            CHECK_VIOLATION,
        ),
        (
            &daemon,
            format!(
                "(kind, copy_of, copy_to) VALUES ('copy', '{}', 'offsite')",
                Uuid::nil()
            ),
            "23503",
        ),
    ] {
        let insert = format!("INSERT INTO pgdumpd.backup_jobs {sql}");
        assert_eq!(
            code(pool, &insert).await.as_deref(),
            Some(wanted),
            "{insert}"
        );
    }
    assert_eq!(f.everything().await, before);
    // What the daemon writes of target and priority is not what counts.
    let insert = format!(
        "INSERT INTO pgdumpd.backup_jobs (kind, target, priority, copy_of, copy_to) VALUES ('copy', 'other', 1, '{backup}', 'offsite')"
    );
    assert_eq!(code(&daemon, &insert).await, None);
    let copy = f.copy(backup, "offsite").await;
    assert_eq!(f.column(copy, "target").await.unwrap(), "app");
    assert_eq!(f.column(copy, "priority").await.unwrap(), "6");
    let of_copy = format!(
        "INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to) VALUES ('copy', '{copy}', 'tape')"
    );
    assert_eq!(code(&daemon, &of_copy).await.as_deref(), Some("23503"));
}

#[tokio::test]
async fn a_backup_has_one_open_copy_to_a_storage() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite"]).await;
    let insert = format!(
        "INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to) VALUES ('copy', '{backup}', 'offsite')"
    );
    assert_eq!(
        code(&f.admin, &insert).await.as_deref(),
        Some(UNIQUE_VIOLATION)
    );
    let job = f.claim_copy(&["local", "offsite"]).await.unwrap();
    assert_eq!(
        code(&f.admin, &insert).await.as_deref(),
        Some(UNIQUE_VIOLATION)
    );
    f.finish(&job, Outcome::Failed(failure(false))).await;
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "1 of 2");
    assert_eq!(
        code(&f.admin, &insert).await,
        None,
        "once that one has failed"
    );
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "1 of 2");
}

#[tokio::test]
async fn a_copy_that_succeeds_is_one_more_storage_of_its_backup() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite"]).await;
    let job = f.claim_copy(&["local", "offsite"]).await.unwrap();
    let order = CopyOrder {
        of: backup,
        to: "offsite".into(),
    };
    assert_eq!(job.work, Work::Copy(order));
    let outcome = Outcome::Copied(Box::new(copied("offsite", "its/own.dump")));
    let first = f.queue.finish(&job.lease, &outcome).await.unwrap();
    assert_eq!(first, Finished::Ended("succeeded"));
    assert_eq!(f.queue.finish(&job.lease, &outcome).await.unwrap(), first);
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "2 of 2");
    assert_eq!(f.seen(job.lease.job, "progress").await.unwrap(), "100");
    let held = f.queue.copies_of(backup).await.unwrap();
    let keys: Vec<&str> = held.iter().map(|copy| copy.object_key.as_str()).collect();
    assert_eq!(keys, ["app/2026/key.dump", "its/own.dump"]);
    // Deleted there and copied once more, it is stored again.
    assert!(
        f.queue
            .mark_copy_deleted(OFFSITE, "its/own.dump")
            .await
            .unwrap()
    );
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "1 of 2");
    f.db.execute(&format!(
        "INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to) VALUES ('copy', '{backup}', 'offsite')"
    ))
    .await;
    let job = f.claim_copy(&["local", "offsite"]).await.unwrap();
    let outcome = Outcome::Copied(Box::new(copied("offsite", "another.dump")));
    f.queue.finish(&job.lease, &outcome).await.unwrap();
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "2 of 2");
    assert_eq!(
        f.queue.copies_of(backup).await.unwrap()[1].object_key,
        "another.dump"
    );
}

#[tokio::test]
async fn a_copy_without_a_backup_ends_as_cancelled_and_says_why() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite"]).await;
    f.queue
        .mark_copy_deleted(LOCAL, "app/2026/key.dump")
        .await
        .unwrap();
    // Nobody has the storage that it was in, and yet it is ended.
    let job = f.claim_copy(&["offsite"]).await.unwrap();
    let ended = f
        .finish(&job, Outcome::Moot("nothing to copy".into()))
        .await;
    assert_eq!(ended, Finished::Ended("cancelled"));
    assert_eq!(
        f.seen(job.lease.job, "status || ': ' || message")
            .await
            .unwrap(),
        "cancelled: nothing to copy"
    );
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "0 of 1");
    assert_eq!(f.outcomes(job.lease.job).await, ["cancelled"]);
}

#[tokio::test]
async fn a_copy_is_claimed_by_a_daemon_that_has_both_storages_and_by_no_other() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite"]).await;
    for names in [&[][..], &["local"], &["offsite"], &["offsite", "tape"]] {
        assert!(f.claim_copy(names).await.is_none(), "{names:?}");
    }
    let mut served = storages(&["offsite", "local"]);
    served[1].id = Some(Uuid::nil());
    let claim = f.queue.claim_copy(f.worker, &served, LEASE).await.unwrap();
    assert!(claim.is_none(), "its storage of that name is another one");
    served[1].id = Some(LOCAL);
    assert!(f.queue.next_due_copy(&served).await.unwrap().is_some());
    let claim = f.queue.claim_copy(f.worker, &served, LEASE).await.unwrap();
    assert_eq!(claim.unwrap().lease.job, f.copy(backup, "offsite").await);
    assert_eq!(f.queue.next_due_copy(&served).await.unwrap(), None);
}

#[tokio::test]
async fn a_running_copy_and_a_backup_of_the_same_target_do_not_wait_for_each_other() {
    let f = fixture().await;
    f.backed_up("app", &["offsite", "tape"]).await;
    let served = ["local", "offsite", "tape"];
    let copy = f.claim_copy(&served).await.unwrap();
    let next = f.enqueue("app", &[]).await;
    assert!(f.queue.next_due(&names(&["app"])).await.unwrap().is_some());
    let backup = f.claim(&["app"]).await.expect("a copy is no backup");
    assert_eq!(backup.lease.job, next);
    let second = f.claim_copy(&served).await.expect("a backup is no copy");
    f.enqueue("app", &[]).await;
    assert!(f.claim(&["app"]).await.is_none(), "one backup at a time");
    let waits =
        sqlx::query("SELECT waits_because FROM pgdumpd.backup_status WHERE state = 'queued'")
            .fetch_one(&f.admin)
            .await
            .unwrap();
    assert_eq!(waits.get::<String, _>(0), "no daemon serves target \"app\"");
    for job in [copy, second] {
        f.finish(&job, Outcome::Failed(failure(true))).await;
    }
}

#[tokio::test]
async fn a_copy_is_leased_rescued_retried_and_cancelled_like_a_backup() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite"]).await;
    let served = ["local", "offsite"];
    // Leftovers are of the queue's own keys alone.
    let key = format!("{}/app/a.dump", f.queue.id());
    let first = f.claim_copy(&served).await.unwrap();
    let recorded = f
        .queue
        .record_upload(&first.lease, "offsite", OFFSITE, &key, None);
    assert!(recorded.await.unwrap());
    f.expire(first.lease.job).await;
    assert_eq!(f.queue.reap(3).await.unwrap(), 1);
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "1 of 2");
    let second = f.claim_copy(&served).await.unwrap();
    assert_eq!((second.lease.attempt, second.rescues), (2, 1));
    assert_eq!(second.earlier[0].object_key.as_deref(), Some(key.as_str()));
    let lost = Outcome::Copied(Box::new(copied("offsite", &key)));
    assert_eq!(f.finish(&first, lost).await, Finished::LeaseLost);
    assert!(matches!(
        f.finish(&second, Outcome::Failed(failure(true))).await,
        Finished::Requeued { .. }
    ));
    assert!(f.claim_copy(&served).await.is_none(), "it is not due yet");
    f.make_due().await;
    let third = f.claim_copy(&served).await.unwrap();
    assert_eq!(f.cancel(third.lease.job).await, "cancelling");
    let beat = f
        .queue
        .heartbeat(&third.lease, LEASE, &progress(10.0))
        .await
        .unwrap();
    assert_eq!(beat, pgdumpd::queue::Beat::Renewed { cancel: true });
    assert_eq!(
        f.finish(&third, Outcome::Cancelled).await,
        Finished::Ended("cancelled")
    );
    assert_eq!(f.seen(backup, "copies").await.unwrap(), "1 of 1");
    // Its leftovers are for whoever has the storage, and not for whoever has the target.
    let left = async |targets: &[&str], storages: &[&str]| {
        let left = f
            .queue
            .leftovers(&names(targets), &self::storages(storages), 10, &[])
            .await
            .unwrap();
        left.iter()
            .map(|left| (left.is_copy, left.object_key.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&["app"], &["local"]).await, []);
    assert_eq!(left(&[], &["offsite"]).await, [(true, Some(key.clone()))]);
}

#[tokio::test]
async fn copies_of_a_backup_are_cancelled_together_queued_ones_at_once() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite", "tape"]).await;
    let other = f.backed_up("other", &["offsite"]).await;
    let running = f.claim_copy(&["local", "offsite"]).await.unwrap();
    f.queue.cancel_copies(backup).await.unwrap();
    let open = f.queue.open_copies(backup).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].job, open[0].runs), (running.lease.job, true));
    assert_eq!(f.state(f.copy(backup, "tape").await).await, "cancelled");
    assert_eq!(f.state(f.copy(other, "offsite").await).await, "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_claimers_at_once_never_make_one_copy_twice() {
    let f = fixture().await;
    for round in 0..20 {
        f.backed_up(&format!("t{round}"), &["offsite"]).await;
        let claims = (0..4).map(|_| {
            let queue = f.queue.clone();
            tokio::spawn(async move {
                let served = storages(&["local", "offsite"]);
                queue
                    .claim_copy(Uuid::new_v4(), &served, LEASE)
                    .await
                    .unwrap()
            })
        });
        let mut won = 0;
        for claim in claims.collect::<Vec<_>>() {
            won += usize::from(claim.await.unwrap().is_some());
        }
        assert_eq!(won, 1, "round {round}");
    }
}

#[tokio::test]
async fn a_copy_says_what_it_waits_for() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite"]).await;
    let copy = f.copy(backup, "offsite").await;
    let why = async || f.seen(copy, "waits_because").await.unwrap();
    let unserved = async || {
        let sql = "SELECT unserved FROM pgdumpd.backup_monitoring WHERE id = $1 AND kind = 'copy' AND copy_to = 'offsite'";
        sqlx::query_scalar::<_, bool>(sql)
            .bind(copy)
            .fetch_one(&f.admin)
            .await
            .unwrap()
    };
    let nobody = "no daemon makes copies to storage \"offsite\"";
    assert_eq!(why().await, nobody);
    f.register(&["local", "offsite"], 0).await;
    assert_eq!(why().await, nobody);
    assert!(unserved().await);
    f.register(&["offsite"], 2).await;
    assert_eq!(
        why().await,
        "no daemon that makes copies to storage \"offsite\" has a storage that holds the backup"
    );
    assert!(unserved().await);
    // Another storage of that name is not the one; the one is, under any name.
    f.register_storages(&[served("local", OFFSITE), served("offsite", OFFSITE)], 2)
        .await;
    assert!(unserved().await);
    f.register_storages(&[served("former", LOCAL), served("offsite", OFFSITE)], 2)
        .await;
    assert_eq!(why().await, "waits for a free daemon");
    assert!(!unserved().await);
    f.register(&["local", "offsite"], 2).await;
    assert_eq!(why().await, "waits for a free daemon");
    assert_eq!(f.seen(copy, "queue_position").await.unwrap(), "1");
    let job = f.claim_copy(&["local", "offsite"]).await.unwrap();
    let running =
        "SELECT running_jobs::text || ' ' || running_copies::text FROM pgdumpd.daemon_status";
    let counts: String = sqlx::query_scalar(running)
        .fetch_one(&f.admin)
        .await
        .unwrap();
    assert_eq!(counts, "0 1");
    f.finish(&job, Outcome::Failed(failure(true))).await;
    assert!(
        why().await.starts_with("attempt 2 of 100 is due at "),
        "{}",
        why().await
    );
}

#[tokio::test]
async fn in_a_storage_of_copies_the_age_of_a_backup_counts_and_not_that_of_its_copy() {
    let f = fixture().await;
    let older = f.backed_up("app", &["offsite"]).await;
    let newer = f.backed_up("app", &["offsite"]).await;
    let served = ["local", "offsite"];
    let (first, second) = (
        f.claim_copy(&served).await.unwrap(),
        f.claim_copy(&served).await.unwrap(),
    );
    // The older backup's copy comes later, by another attempt.
    f.finish(&first, Outcome::Failed(failure(true))).await;
    let newer_key = Outcome::Copied(Box::new(copied("offsite", "newer.dump")));
    f.finish(&second, newer_key).await;
    f.make_due().await;
    let again = f.claim_copy(&served).await.unwrap();
    assert_eq!(
        again.work,
        Work::Copy(CopyOrder {
            of: older,
            to: "offsite".into()
        })
    );
    f.finish(
        &again,
        Outcome::Copied(Box::new(copied("offsite", "older.dump"))),
    )
    .await;
    let kept = f.queue.kept_backups("app", OFFSITE).await.unwrap();
    let found: Vec<(Uuid, &str)> = kept
        .iter()
        .map(|backup| (backup.job, backup.object_key.as_str()))
        .collect();
    assert_eq!(found, [(newer, "newer.dump"), (older, "older.dump")]);
}

#[tokio::test]
async fn a_copy_is_what_its_own_job_sent_and_not_what_the_backups_job_says() {
    let f = fixture().await;
    let backup = f.backed_up("app", &["offsite"]).await;
    let job = f.claim_copy(&["local", "offsite"]).await.unwrap();
    // An earlier attempt's backup, which a daemon had recorded in another storage, was copied.
    let sent = Success {
        sha256: "5".repeat(64),
        ..copied("offsite", "copied.dump")
    };
    f.finish(&job, Outcome::Copied(Box::new(sent.clone())))
        .await;
    let held = f.queue.copies_of(backup).await.unwrap();
    let sums: Vec<_> = held
        .iter()
        .map(|held| (held.object_key.as_str(), held.recorded.sha256.clone()))
        .collect();
    let original = success();
    assert_eq!(
        sums,
        [
            (original.object_key.as_str(), Some(original.sha256.clone())),
            ("copied.dump", Some(sent.sha256)),
        ]
    );
}

#[tokio::test]
async fn a_daemon_that_knows_no_copies_never_claims_one_and_goes_on_with_its_backups() {
    let f = fixture().await;
    let daemon = f.login(&f.daemon).await;
    let backup = f.backed_up("app", &["offsite"]).await;
    let copy = f.copy(backup, "offsite").await;
    let claim = async || -> Option<Uuid> {
        sqlx::query(before::CLAIM)
            .bind(names(&["app"]))
            .bind(&[1_i16][..])
            .bind(f.worker)
            .bind(Uuid::new_v4())
            .bind(300.0_f64)
            .bind(50_i64)
            .bind(f.queue.id())
            .fetch_one(&daemon)
            .await
            .unwrap()
            .get("id")
    };
    assert_eq!(claim().await, None);
    let due: Option<f64> = sqlx::query_scalar(before::NEXT_DUE)
        .bind(names(&["app"]))
        .bind(&[1_i16][..])
        .fetch_one(&daemon)
        .await
        .unwrap();
    assert_eq!(due, None);
    // The worst that anything but a daemon could do to it: what it would need to be claimed.
    let steal = format!("UPDATE pgdumpd.backup_jobs SET priority = 3 WHERE id = '{copy}'");
    assert_eq!(
        code(&f.admin, &steal).await.as_deref(),
        Some(CHECK_VIOLATION)
    );

    let next = f.enqueue("app", &[]).await;
    assert_eq!(claim().await, Some(next));
    let token: Uuid = f
        .column(next, "lease_token")
        .await
        .unwrap()
        .parse()
        .unwrap();
    let ended = sqlx::query(before::SUCCEEDED)
        .bind(next)
        .bind(token)
        .bind("local")
        .bind(LOCAL)
        .bind("next.dump")
        .bind(1_i64)
        .bind("ab".repeat(32))
        .bind(serde_json::json!([]))
        .bind(0)
        .bind("done")
        .bind(None::<i32>)
        .bind(None::<i32>)
        .bind(None::<i64>)
        .bind(None::<i64>)
        .bind(None::<i64>)
        .fetch_all(&daemon)
        .await
        .unwrap();
    assert_eq!(ended.len(), 1);
    sqlx::query(before::REGISTER)
        .bind(f.worker)
        .bind("old")
        .bind(1)
        .bind("0")
        .bind(names(&["app"]))
        .bind(&[1_i16][..])
        .bind(2)
        .bind(300.0_f64)
        .bind(false)
        .bind(f.queue.id())
        .fetch_one(&daemon)
        .await
        .unwrap();
    assert_eq!(
        f.seen(copy, "waits_because").await.unwrap(),
        "no daemon makes copies to storage \"offsite\""
    );
    let left = sqlx::query(before::LEFTOVERS)
        .bind(names(&["app"]))
        .bind(10_i64)
        .bind(&[] as &[Uuid])
        .fetch_all(&daemon)
        .await
        .unwrap();
    assert!(left.is_empty());
    assert_eq!(f.state(copy).await, "queued");
}

/// Pages that a claim of a backup looks at, with nothing to claim.
async fn pages_of_a_claim(f: &Fixture, claim: &str) -> i64 {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claim}");
    let plan: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .bind(names(&["app", "other"]))
        .bind(&[1_i16][..])
        .bind(f.worker)
        .bind(Uuid::new_v4())
        .bind(300.0_f64)
        .bind(1_i64)
        .bind(f.queue.id())
        .fetch_one(&f.admin)
        .await
        .unwrap();
    let pages = |name: &str| plan[0]["Plan"][name].as_i64().unwrap();
    pages("Shared Hit Blocks") + pages("Shared Read Blocks")
}

#[tokio::test]
async fn twenty_thousand_waiting_copies_cost_a_claim_of_a_backup_nothing() {
    let f = fixture().await;
    let backup = f.backed_up("app", &[]).await;
    f.db.execute(&format!(
        "INSERT INTO pgdumpd.backup_jobs (kind, copy_of, copy_to)
         SELECT 'copy', '{backup}', pg_catalog.format('storage%s', n) FROM generate_series(1, 20000) AS n;
         ANALYZE pgdumpd.backup_jobs"
    ))
    .await;
    let claim = include_str!("../../src/queue/sql/claim.sql");
    for claim in [claim, before::CLAIM] {
        let pages = pages_of_a_claim(&f, claim).await;
        // Two targets times five priorities, a few pages for each probe; walking the copies would be hundreds.
        assert!(pages < 60, "{pages} pages");
    }
}

#[tokio::test]
async fn a_daemon_that_was_granted_its_rights_before_copies_has_them_after_the_migration() {
    let cluster = cluster().await;
    let (db, daemon) = (cluster.database().await, cluster.role("").await);
    let grants = Grants {
        daemons: vec![daemon.name.clone()],
        ..Grants::default()
    };
    let script = print(&grants, None);
    let (before, _) = script.split_once("\n-- Migration 6").unwrap();
    let (_, rights) = script.rsplit_once("\n-- Rights\n").unwrap();
    let admin = db.pool().await;
    sqlx::raw_sql(AssertSqlSafe(format!("{before}\n-- {rights}")))
        .execute(&admin)
        .await
        .unwrap();
    // With a job that is running meanwhile.
    sqlx::raw_sql("INSERT INTO pgdumpd.backup_jobs (target) VALUES ('app')")
        .execute(&admin)
        .await
        .unwrap();
    let applied = migrate(&admin, &Grants::default()).await.unwrap();
    assert!(applied.versions.starts_with(&[6]), "{applied:?}");
    let queue = Queue::connect(&config(&db.url_as(&daemon.name)))
        .await
        .unwrap();
    let worker = Uuid::new_v4();
    let job = queue
        .claim(worker, &names(&["app"]), LEASE)
        .await
        .unwrap()
        .unwrap();
    let outcome = Outcome::Succeeded(Box::new(success_with(&["offsite"])));
    queue.finish(&job.lease, &outcome).await.unwrap();
    let served = storages(&["local", "offsite"]);
    let due = queue.next_due_copy(&served).await.unwrap();
    assert_eq!(due, Some(Duration::ZERO));
    assert!(
        queue
            .claim_copy(worker, &served, LEASE)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn what_is_being_deleted_is_distinguished_from_what_is_stored() {
    let f = fixture().await;
    let backup = f.backed_up("app", &[]).await;
    let places = async || f.queue.places_of_backup(backup).await.unwrap();
    let found = places().await;
    assert_eq!(found.len(), 1);
    assert!(found[0].recorded && !found[0].is_being_deleted, "{found:?}");
    f.db.execute("UPDATE pgdumpd.backup_copies SET state = 'deleting'")
        .await;
    assert!(places().await[0].is_being_deleted);
}

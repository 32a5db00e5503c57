//! How many backups a role may have queued, and how many kept.

use chrono::Utc;
use pgdumpd::migrate::MIGRATIONS;
use pgdumpd::queue::{KeptQuota, Outcome, Queue, Success};
use pgdumpd_testkit::cluster;
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixture::{Fixture, config, fixture, names, qualified, success};
use crate::kept::known;

const LOCAL: Uuid = Uuid::from_u128(7);
const OFFSITE: Uuid = Uuid::from_u128(8);

const INSERT: &str =
    "INSERT INTO pgdumpd.backup_jobs (target) SELECT 'a' FROM generate_series(1, $1)";

async fn insert(pool: &PgPool, jobs: i64) -> Result<u64, (String, String)> {
    let result = sqlx::query(INSERT).bind(jobs).execute(pool).await;
    result.map(|done| done.rows_affected()).map_err(|error| {
        let error = error.as_database_error().unwrap();
        (
            error.code().unwrap().into_owned(),
            error.message().to_owned(),
        )
    })
}

#[tokio::test]
async fn a_producer_has_a_thousand_queued_jobs_at_most_and_an_operator_as_many_as_it_likes() {
    let f = fixture().await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let operator = qualified(&f.db.url_as(&f.daemon.name)).await;
    assert_eq!(insert(&producer, 1_000).await, Ok(1_000));
    let (code, message) = insert(&producer, 1).await.unwrap_err();
    assert_eq!(code, "53400");
    assert_eq!(
        message,
        format!(
            "role \"{}\" may have 1000 queued backup jobs",
            f.producer.name
        )
    );
    assert_eq!(insert(&operator, 2_000).await, Ok(2_000));
    // What has begun does not count.
    f.claim(&["a"]).await.unwrap();
    let own = "UPDATE pgdumpd.backup_jobs SET state = 'cancelled', finished_at = now()
               WHERE id = (SELECT id FROM pgdumpd.backup_jobs WHERE requested_by = $1 AND state = 'queued' LIMIT 1)";
    sqlx::query(own)
        .bind(&f.producer.name)
        .execute(&f.admin)
        .await
        .unwrap();
    assert_eq!(insert(&producer, 1).await, Ok(1));
}

#[tokio::test]
async fn the_owner_sets_a_quota_for_one_role_and_for_all_others() {
    let f = fixture().await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let operator = qualified(&f.db.url_as(&f.daemon.name)).await;
    f.db.execute("UPDATE pgdumpd.quotas SET queued_jobs = 3 WHERE requested_by = '*'")
        .await;
    assert!(insert(&producer, 4).await.is_err());
    let set = async |role: &str, jobs: &str| {
        let sql = format!(
            "INSERT INTO pgdumpd.quotas VALUES ('{role}', {jobs})
             ON CONFLICT (requested_by) DO UPDATE SET queued_jobs = excluded.queued_jobs"
        );
        f.db.execute(&sql).await;
    };
    set(&f.producer.name, "5").await;
    assert_eq!(insert(&producer, 4).await, Ok(4));
    assert!(insert(&producer, 2).await.is_err());
    set(&f.producer.name, "NULL").await;
    assert_eq!(insert(&producer, 5_000).await, Ok(5_000));
    set(&f.daemon.name, "1").await;
    assert!(insert(&operator, 2).await.is_err());
}

impl Fixture {
    /// Backups of a role that succeeded and are stored, as if daemons had taken them.
    async fn keeps(&self, role: &str, backups: i64) {
        let jobs = "INSERT INTO pgdumpd.backup_jobs (target, requested_by, state, attempt, lease_token, finished_at, progress, size_bytes, sha256)
                    SELECT 'a', $1, 'succeeded', 1, gen_random_uuid(), now(), 100, 1, repeat('ab', 32) FROM generate_series(1, $2)";
        sqlx::query(jobs)
            .bind(role)
            .bind(backups)
            .execute(&self.admin)
            .await
            .unwrap();
        let copies = "INSERT INTO pgdumpd.backup_copies (job_id, storage, storage_id, object_key, size_bytes, state)
                      SELECT id, 'local', $2, id::text, 1, 'stored' FROM pgdumpd.backup_jobs
                      WHERE requested_by = $1 AND state = 'succeeded' ON CONFLICT DO NOTHING";
        sqlx::query(copies)
            .bind(role)
            .bind(LOCAL)
            .execute(&self.admin)
            .await
            .unwrap();
    }

    /// Runs the next backup of the target `a`, and stores it under this key.
    async fn stores(&self, key: &str) -> Uuid {
        let job = self.claim(&["a"]).await.expect("a backup is due");
        let success = Success {
            object_key: key.to_owned(),
            ..success()
        };
        let outcome = Outcome::Succeeded(Box::new(success));
        self.queue.finish(&job.lease, &outcome).await.unwrap();
        job.lease.job
    }

    /// Notes a further copy of a backup, in the storage `offsite`.
    async fn has_a_copy(&self, job: Uuid, key: &str) {
        let recorded = self
            .queue
            .record_copy(job, "offsite", OFFSITE, key, 1)
            .await;
        assert!(recorded.unwrap());
    }

    async fn deletes(&self, storage: Uuid, key: &str) {
        let deleted = self.queue.mark_copy_deleted(storage, key).await;
        assert!(deleted.unwrap());
    }

    /// What the quotas say of kept backups: for all others, and for these roles.
    async fn kept_quotas_of(&self, roles: &[&str]) -> Vec<Option<i32>> {
        let sql = "SELECT q.kept_backups FROM unnest($1::text[]) WITH ORDINALITY AS r (name, n)
                   JOIN pgdumpd.quotas AS q ON q.requested_by = r.name ORDER BY r.n";
        sqlx::query_scalar(sql)
            .bind(names(roles))
            .fetch_all(&self.admin)
            .await
            .unwrap()
    }

    /// What the migration does with the rows that it finds in a table.
    async fn migrate_rows_of(&self, table: &str) {
        let migration = MIGRATIONS.iter().find(|m| m.name == "kept").unwrap();
        let update = format!("\nUPDATE {table} ");
        let mut updates = migration.sql.split(&update).skip(1);
        let rest = updates.next().unwrap().split(";\n").next().unwrap();
        assert!(updates.next().is_none());
        self.db.execute(&format!("{update}{rest}")).await;
    }
}

#[tokio::test]
async fn a_producer_keeps_a_thousand_backups_at_most_and_an_operator_as_many_as_it_likes() {
    let f = fixture().await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let operator = qualified(&f.db.url_as(&f.daemon.name)).await;
    f.keeps(&f.producer.name, 999).await;
    assert_eq!(insert(&producer, 1).await, Ok(1));
    let last = f.stores("last").await;
    let refused = || {
        (
            "53400".to_owned(),
            format!(
                "role \"{}\" may keep 1000 backups, and has as many",
                f.producer.name
            ),
        )
    };
    assert_eq!(insert(&producer, 1).await, Err(refused()));

    // The function is refused like the INSERT.
    let again = "SELECT is_new FROM pgdumpd.enqueue_backup('a', idempotency_key => 'once')";
    let error = sqlx::query(again).execute(&producer).await.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().code().as_deref(),
        Some("53400")
    );

    // A backup is there until no storage holds it.
    f.has_a_copy(last, "last-copy").await;
    f.deletes(LOCAL, "last").await;
    assert_eq!(insert(&producer, 1).await, Err(refused()));
    f.db.execute(
        "UPDATE pgdumpd.backup_copies SET state = 'deleting' WHERE object_key = 'last-copy'",
    )
    .await;
    assert_eq!(insert(&producer, 1).await, Err(refused()));
    f.deletes(OFFSITE, "last-copy").await;
    let new: bool = sqlx::query_scalar(again)
        .fetch_one(&producer)
        .await
        .unwrap();
    assert!(new);
    f.stores("newest").await;
    assert_eq!(insert(&producer, 1).await, Err(refused()));
    let new: bool = sqlx::query_scalar(again)
        .fetch_one(&producer)
        .await
        .unwrap();
    assert!(!new, "it asks for nothing new");

    // Nobody else is concerned.
    let other = cluster().await.role("").await;
    f.db.execute(&format!("SELECT pgdumpd.grant_producer('{}')", other.name))
        .await;
    let other = qualified(&f.db.url_as(&other.name)).await;
    assert_eq!(insert(&other, 1).await, Ok(1));
    f.keeps(&f.daemon.name, 2_000).await;
    assert_eq!(insert(&operator, 1).await, Ok(1));
    f.db.execute(&format!(
        "INSERT INTO pgdumpd.quotas (requested_by, queued_jobs, kept_backups) VALUES ('{}', NULL, 2000)",
        f.daemon.name
    ))
    .await;
    assert!(insert(&operator, 1).await.is_err());
}

#[tokio::test]
async fn a_backup_in_two_storages_is_kept_once() {
    let f = fixture().await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    f.db.execute("UPDATE pgdumpd.quotas SET kept_backups = 3")
        .await;
    for key in ["first", "second"] {
        assert_eq!(insert(&producer, 1).await, Ok(1));
        let job = f.stores(key).await;
        f.has_a_copy(job, &format!("{key}-copy")).await;
    }
    assert_eq!(insert(&producer, 1).await, Ok(1));
    f.stores("third").await;
    assert!(insert(&producer, 1).await.is_err());
}

#[tokio::test]
async fn the_owner_sets_how_many_backups_a_role_keeps() {
    let f = fixture().await;
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    f.keeps(&f.producer.name, 5).await;
    let set = async |kept: &str| {
        let sql = format!(
            "INSERT INTO pgdumpd.quotas (requested_by, queued_jobs, kept_backups) VALUES ('{}', NULL, {kept})
             ON CONFLICT (requested_by) DO UPDATE SET kept_backups = excluded.kept_backups",
            f.producer.name
        );
        f.db.execute(&sql).await;
    };
    set("5").await;
    assert!(insert(&producer, 1).await.is_err());
    set("6").await;
    assert_eq!(insert(&producer, 2).await, Ok(2));
    f.keeps(&f.producer.name, 1_000).await;
    set("DEFAULT").await;
    assert!(insert(&producer, 1).await.is_err());
    set("NULL").await;
    assert_eq!(insert(&producer, 1).await, Ok(1));
    set("0").await;
    assert!(insert(&producer, 1).await.is_err());
}

#[tokio::test]
async fn a_quota_of_before_bounds_what_a_producer_keeps_and_not_an_operator() {
    let f = fixture().await;
    let (producer, daemon) = (f.producer.name.as_str(), f.daemon.name.as_str());
    f.db.execute(&format!(
        "INSERT INTO pgdumpd.quotas (requested_by, queued_jobs, kept_backups) VALUES ('{producer}', 5, NULL), ('{daemon}', 5, NULL);
         UPDATE pgdumpd.quotas SET kept_backups = NULL"
    ))
    .await;
    f.migrate_rows_of("pgdumpd.quotas AS q").await;
    let quotas = f.kept_quotas_of(&["*", producer, daemon]).await;
    assert_eq!(quotas, [Some(1000), Some(1000), None]);
}

#[tokio::test]
async fn what_was_stored_before_and_what_comes_back_counts_for_who_asked_for_it() {
    let f = fixture().await;
    f.keeps(&f.producer.name, 2).await;
    let kept = async || -> i64 {
        let sql = "SELECT count(*) FROM pgdumpd.backup_copies WHERE requested_by = $1 AND state <> 'deleted'";
        sqlx::query_scalar(sql)
            .bind(&f.producer.name)
            .fetch_one(&f.admin)
            .await
            .unwrap()
    };
    f.db.execute(
        "UPDATE pgdumpd.backup_copies SET requested_by = NULL;
         UPDATE pgdumpd.backup_copies SET state = 'deleted', deleted_at = now()
         WHERE job_id = (SELECT min(job_id::text)::uuid FROM pgdumpd.backup_copies)",
    )
    .await;
    f.migrate_rows_of("pgdumpd.backup_copies AS c").await;
    assert_eq!(kept().await, 1);
    let (gone, key): (Uuid, String) = sqlx::query_as(
        "SELECT job_id, object_key FROM pgdumpd.backup_copies WHERE state = 'deleted'",
    )
    .fetch_one(&f.admin)
    .await
    .unwrap();
    let recorded = f.queue.record_copy(gone, "local", LOCAL, &key, 1).await;
    assert!(recorded.unwrap());
    assert_eq!(kept().await, 2);
}

#[tokio::test]
async fn a_rebuilt_backup_counts_for_the_role_that_asked_for_it() {
    let f = fixture().await;
    let owner = Queue::connect(&config(&f.db.url())).await.unwrap();
    let producer = qualified(&f.db.url_as(&f.producer.name)).await;
    let mut backup = known("rebuilt", Some(Utc::now()), Utc::now());
    backup.requested_by.clone_from(&f.producer.name);
    owner.rebuild(owner.id(), &[backup]).await.unwrap();
    f.db.execute("UPDATE pgdumpd.quotas SET kept_backups = 1")
        .await;
    assert!(insert(&producer, 1).await.is_err());
    f.deletes(LOCAL, "rebuilt").await;
    assert_eq!(insert(&producer, 1).await, Ok(1));
}

#[tokio::test]
async fn a_role_that_has_four_fifths_of_what_it_may_keep_is_found() {
    let f = fixture().await;
    f.db.execute("UPDATE pgdumpd.quotas SET kept_backups = 10")
        .await;
    f.keeps(&f.producer.name, 7).await;
    f.keeps(&f.daemon.name, 20).await;
    f.keeps("a role that is gone", 20).await;
    assert_eq!(f.queue.kept_quotas().await.unwrap(), []);
    let quota = |role: &str, kept, allowed| KeptQuota {
        role: role.to_owned(),
        kept,
        allowed,
    };
    f.keeps(&f.producer.name, 1).await;
    assert_eq!(
        f.queue.kept_quotas().await.unwrap(),
        [quota(&f.producer.name, 8, 10)]
    );
    f.keeps(&f.producer.name, 12).await;
    assert_eq!(
        f.queue.kept_quotas().await.unwrap(),
        [quota(&f.producer.name, 10, 10)]
    );
    let own = |role: &str, kept: &str| {
        format!("INSERT INTO pgdumpd.quotas (requested_by, kept_backups) VALUES ('{role}', {kept})")
    };
    f.db.execute(&own(&f.producer.name, "NULL")).await;
    f.db.execute(&own(&f.daemon.name, "25")).await;
    assert_eq!(
        f.queue.kept_quotas().await.unwrap(),
        [quota(&f.daemon.name, 20, 25)]
    );
}

/// The trigger's own statement that counts what is kept, with `$1` for the role and `$2` for its quota.
pub(crate) fn count_of_kept() -> String {
    let migration = MIGRATIONS.iter().find(|m| m.name == "kept").unwrap();
    let (_, count) = migration
        .sql
        .split_once("SELECT count(*) INTO kept")
        .unwrap();
    let (count, _) = count.split_once(';').unwrap();
    let count = count
        .replace("= own", "= $1")
        .replace("allowed.kept_backups", "$2");
    format!("SELECT count(*) {count}")
}

//! How many queued jobs a role may have.

use sqlx::PgPool;

use crate::fixture::{fixture, qualified};

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

//! A queue of the test's own, and a superuser who plays the daemon.

use std::path::Path;
use std::time::Duration;

use pgdumpd_testkit::{Cluster, Database, cluster, eventually};
use sqlx::PgPool;
use uuid::Uuid;

/// No condition of these tests takes nearly so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A migrated database.
pub(crate) struct Queue {
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
}

impl Queue {
    pub(crate) async fn new() -> Self {
        Self::on(cluster().await).await
    }

    pub(crate) async fn on(cluster: &Cluster) -> Self {
        let database = cluster.database().await;
        database.execute("CREATE SCHEMA pgdumpd").await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .collect();
        files.sort();
        for file in files {
            database
                .execute(&std::fs::read_to_string(file).unwrap())
                .await;
        }
        let pool = database.pool().await;
        Self { database, pool }
    }

    pub(crate) async fn count(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM pgdumpd.backup_jobs")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Runs one statement about the job `$1`; it must change one row.
    pub(crate) async fn change(&self, id: Uuid, sql: &'static str) {
        let done = sqlx::query(sql).bind(id).execute(&self.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    }

    pub(crate) async fn start(&self, id: Uuid) {
        self.change(
            id,
            "UPDATE pgdumpd.backup_jobs SET state = 'running', attempt = attempt + 1, phase = 'dumping',
                 lease_token = gen_random_uuid(), worker_id = gen_random_uuid(),
                 lease_expires_at = clock_timestamp() + interval '5 minutes', started_at = clock_timestamp(),
                 progress_at = clock_timestamp()
             WHERE id = $1",
        )
        .await;
    }

    pub(crate) async fn progress(&self, id: Uuid) {
        self.change(
            id,
            "UPDATE pgdumpd.backup_jobs SET progress = 40, message = 'half of it', tables_done = 1,
                 tables_total = 2, rows_done = 1000, bytes_dumped = 2000, progress_at = clock_timestamp()
             WHERE id = $1",
        )
        .await;
    }

    pub(crate) async fn succeed(&self, id: Uuid) {
        self.change(
            id,
            "UPDATE pgdumpd.backup_jobs SET state = 'succeeded', progress = 100, size_bytes = 4711,
                 sha256 = repeat('ab', 32), lease_expires_at = NULL, finished_at = clock_timestamp(),
                 warnings = '[\"a warning\"]', warnings_total = 3
             WHERE id = $1",
        )
        .await;
    }

    pub(crate) async fn fail(&self, id: Uuid) {
        self.change(
            id,
            "UPDATE pgdumpd.backup_jobs SET state = 'failed', error_step = 'dump', error_code = 'dump_failed',
                 error = 'pg_dump ended with status 1', error_hint = 'Look.', lease_expires_at = NULL,
                 finished_at = clock_timestamp()
             WHERE id = $1",
        )
        .await;
    }

    /// Waits for the only job of the queue.
    pub(crate) async fn only_job(&self) -> Uuid {
        eventually("one job is in the queue", DEADLINE, async || {
            sqlx::query_scalar("SELECT id FROM pgdumpd.backup_jobs")
                .fetch_optional(&self.pool)
                .await
                .unwrap()
        })
        .await
    }
}

//! A migrated queue of the test's own, whose daemon is a plain role: not the owner, not a superuser.

use std::time::Duration;

use pgdumpd::code::Code;
use pgdumpd::config::QueueConfig;
use pgdumpd::database_url::DatabaseUrl;
use pgdumpd::migrate::{self, Grants};
use pgdumpd::queue::{ClaimedJob, Failure, Progress, Queue, Success};
use pgdumpd_testkit::{Cluster, Database, Role, cluster, hostile_public};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(300);

pub(crate) struct Fixture {
    pub(crate) db: Database,
    /// The superuser and owner.
    pub(crate) admin: PgPool,
    pub(crate) daemon: Role,
    pub(crate) producer: Role,
    /// As the daemon's role.
    pub(crate) queue: Queue,
    pub(crate) worker: Uuid,
}

pub(crate) async fn fixture() -> Fixture {
    fixture_on(cluster().await).await
}

pub(crate) async fn fixture_on(cluster: &Cluster) -> Fixture {
    let schema = migrate::print(&Grants::default(), None);
    let db = cluster.prepared_database("queue", &schema, async |template| {
        hostile_public(template).await;
        let pool = template.qualified_pool().await;
        migrate::migrate(&pool, &Grants::default()).await.unwrap();
    });
    let db = db.await;
    // Each queue has an id of its own.
    db.execute("UPDATE pgdumpd.queue SET id = gen_random_uuid()")
        .await;
    let (daemon, producer) = (cluster.role("").await, cluster.role("").await);
    let admin = db.qualified_pool().await;
    let grants = Grants {
        producers: vec![producer.name.clone()],
        daemons: vec![daemon.name.clone()],
        ..Grants::default()
    };
    migrate::migrate(&admin, &grants).await.unwrap();
    let queue = Queue::connect(&config(&db.url_as(&daemon.name)))
        .await
        .unwrap();
    let worker = Uuid::new_v4();
    Fixture {
        db,
        admin,
        daemon,
        producer,
        queue,
        worker,
    }
}

/// Connections for the tests' own statements, which nothing of `public` is to disturb.
pub(crate) async fn qualified(url: &str) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("search_path", "pg_catalog")]);
    PgPoolOptions::new()
        .max_connections(10)
        .connect_with(options)
        .await
        .unwrap()
}

pub(crate) fn config(url: &str) -> QueueConfig {
    QueueConfig {
        url: DatabaseUrl::parse(url).unwrap(),
        queue_id: None,
        pooled: false,
        listen_url: None,
        listen: true,
        migrate_at_start: false,
    }
}

impl Fixture {
    /// Enqueues with the columns that differ from the defaults, such as `("priority", "1")`.
    pub(crate) async fn enqueue(&self, target: &str, columns: &[(&str, &str)]) -> Uuid {
        let mut names = "target".to_owned();
        let mut values = format!("'{target}'");
        for (name, value) in columns {
            names.push_str(&format!(", {name}"));
            values.push_str(&format!(", {value}"));
        }
        let sql =
            format!("INSERT INTO pgdumpd.backup_jobs ({names}) VALUES ({values}) RETURNING id");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    pub(crate) async fn claim(&self, targets: &[&str]) -> Option<ClaimedJob> {
        self.queue
            .claim(self.worker, &names(targets), LEASE)
            .await
            .unwrap()
    }

    /// Enqueues a job and claims it.
    pub(crate) async fn running(&self, target: &str) -> ClaimedJob {
        self.enqueue(target, &[]).await;
        self.claim(&[target]).await.expect("a job was due")
    }

    pub(crate) async fn expire(&self, job: Uuid) {
        let sql = "UPDATE pgdumpd.backup_jobs SET lease_expires_at = now() - interval '1 second' WHERE id = $1";
        sqlx::query(sql)
            .bind(job)
            .execute(&self.admin)
            .await
            .unwrap();
    }

    pub(crate) async fn cancel(&self, job: Uuid) -> String {
        let sql = "SELECT pgdumpd.cancel_backup($1)";
        sqlx::query_scalar(sql)
            .bind(job)
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    /// Queued jobs of a role, due for longer the lower their number; as if it had enqueued them itself.
    pub(crate) async fn flood(&self, target: &str, role: &Role, count: u32) {
        let sql = "INSERT INTO pgdumpd.backup_jobs (target, requested_by, priority, run_at)
                   SELECT $1, $2, 1 + i % 5, now() - interval '1 day' + i * interval '1 ms' FROM generate_series(1, $3) AS i";
        sqlx::query(sql)
            .bind(target)
            .bind(&role.name)
            .bind(i64::from(count))
            .execute(&self.admin)
            .await
            .unwrap();
    }

    /// One column of a job, as text.
    pub(crate) async fn column(&self, job: Uuid, column: &str) -> Option<String> {
        let sql = format!("SELECT ({column})::text FROM pgdumpd.backup_jobs WHERE id = $1");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(job)
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    pub(crate) async fn state(&self, job: Uuid) -> String {
        self.column(job, "state").await.unwrap()
    }

    /// Every job's whole row with its attempts and copies: for comparing before and after.
    pub(crate) async fn everything(&self) -> Vec<String> {
        let sql = "SELECT to_jsonb(j)::text AS row FROM pgdumpd.backup_jobs AS j
                   UNION ALL SELECT to_jsonb(a)::text FROM pgdumpd.backup_attempts AS a
                   UNION ALL SELECT to_jsonb(c)::text FROM pgdumpd.backup_copies AS c ORDER BY 1";
        let rows = sqlx::query(sql).fetch_all(&self.admin).await.unwrap();
        rows.iter().map(|row| row.get("row")).collect()
    }

    /// The outcomes of a job's attempts, oldest first.
    pub(crate) async fn outcomes(&self, job: Uuid) -> Vec<String> {
        let sql =
            "SELECT outcome FROM pgdumpd.backup_attempts WHERE job_id = $1 ORDER BY started_at";
        sqlx::query_scalar(sql)
            .bind(job)
            .fetch_all(&self.admin)
            .await
            .unwrap()
    }

    /// Makes queued jobs due that wait for their next attempt.
    pub(crate) async fn make_due(&self) {
        self.db
            .execute("UPDATE pgdumpd.backup_jobs SET run_at = now() WHERE state = 'queued'")
            .await;
    }
}

pub(crate) fn names(targets: &[&str]) -> Vec<String> {
    targets.iter().map(|target| (*target).to_owned()).collect()
}

pub(crate) fn success() -> Success {
    Success {
        storage: "local".into(),
        storage_id: Uuid::from_u128(7),
        object_key: "app/2026/key.dump".into(),
        size_bytes: 4096,
        sha256: "ab".repeat(32),
        warnings: vec!["a warning".into()],
        warnings_total: 1,
        progress: progress(99.0),
        copies: vec![],
    }
}

pub(crate) fn failure(transient: bool) -> Failure {
    Failure {
        step: "dump",
        code: Code::DumpFailed,
        error: "pg_dump ended with status 1".into(),
        hint: Some("Look at the server's log.".into()),
        transient,
        warnings: vec![],
        warnings_total: 0,
    }
}

pub(crate) fn progress(percent: f32) -> Progress {
    Progress {
        phase: "dumping".into(),
        percent,
        message: "dumping".into(),
        remaining: Some(Duration::from_secs(5)),
        ..Progress::default()
    }
}

//! A queue, a target and a storage of a test's own, and the configuration that names them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use pgdumpd::migrate::{Grants, migrate};
use pgdumpd_testkit::{Cluster, Database, FakePgDump, cluster, hostile_public};
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

use super::quoted;

/// A queue in a database of its own, one target `shop`, one storage `local`.
pub(crate) struct World {
    pub(crate) cluster: &'static Cluster,
    pub(crate) queue: Database,
    pub(crate) shop: Database,
    pub(crate) pool: PgPool,
    pub(crate) dir: TempDir,
    pub(super) settings: Vec<(String, String, String)>,
    /// How many daemons were killed.
    pub(super) kills: Arc<AtomicUsize>,
}

/// A queue of its own, beside a hostile `public`.
async fn migrated(cluster: &Cluster) -> Database {
    let schema = pgdumpd::migrate::print(&Grants::default(), None);
    let queue = cluster.prepared_database("queue", &schema, async |template| {
        hostile_public(template).await;
        let pool = template.qualified_pool().await;
        migrate(&pool, &Grants::default()).await.unwrap();
    });
    let queue = queue.await;
    // Each queue has an id of its own.
    queue
        .execute("UPDATE pgdumpd.queue SET id = gen_random_uuid()")
        .await;
    queue
}

impl World {
    /// Migrated, with an empty target database.
    pub(crate) async fn new() -> Self {
        Self::on(cluster().await, cluster().await).await
    }

    /// The same, with the queue on a cluster that the test may stop.
    pub(crate) async fn on(queues: &Cluster, cluster: &'static Cluster) -> Self {
        let queue = migrated(queues).await;
        let shop = cluster.database().await;
        let dir = TempDir::with_prefix("pgdumpd-test-").unwrap();
        let pool = queue.qualified_pool().await;
        let mut world = Self {
            cluster,
            queue,
            shop,
            pool,
            dir,
            settings: Vec::new(),
            kills: Arc::default(),
        };
        let (queue_url, shop_url) = (world.queue.url(), world.shop.url());
        let storage = world.storage().display().to_string();
        let bin = cluster.bin_dir().display().to_string();
        for (section, key, value) in [
            ("queue", "url", quoted(&queue_url)),
            ("daemon", "heartbeat", quoted("250ms")),
            ("daemon", "lease", quoted("3s")),
            ("daemon", "poll_interval", quoted("500ms")),
            ("daemon", "drain_timeout", quoted("60s")),
            ("pg_dump", "directories", format!("[{}]", quoted(&bin))),
            ("log", "filter", quoted("info,pgdumpd=debug")),
            ("storages.local", "path", quoted(&storage)),
            ("storages.local", "min_free", quoted("1MiB")),
            ("targets.shop", "url", quoted(&shop_url)),
        ] {
            world.set(section, key, value);
        }
        world
    }

    /// Sets a key of the configuration; `value` as TOML writes it. For daemons started from now on.
    pub(crate) fn set(&mut self, section: &str, key: &str, value: impl Into<String>) {
        self.settings
            .retain(|(s, k, _)| (s.as_str(), k.as_str()) != (section, key));
        self.settings
            .push((section.to_owned(), key.to_owned(), value.into()));
        self.write_config();
    }

    /// Takes a section away. For daemons started or reloaded from now on.
    pub(crate) fn unset(&mut self, section: &str) {
        self.settings.retain(|(s, ..)| s != section);
        self.write_config();
    }

    fn write_config(&self) {
        let mut text = String::new();
        let mut sections: Vec<&str> = self.settings.iter().map(|(s, ..)| s.as_str()).collect();
        sections.sort_unstable();
        sections.dedup();
        for section in sections {
            writeln!(text, "[{section}]").unwrap();
            for (_, key, value) in self.settings.iter().filter(|(s, ..)| s == section) {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        std::fs::write(self.config(), text).unwrap();
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("pgdumpd.toml")
    }

    /// The storage's root.
    pub(crate) fn storage(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    /// Makes the storage, as a daemon does when it starts.
    pub(crate) fn make_storage(&self, id: Uuid) {
        Self::make_storage_at(&self.storage(), id);
    }

    /// Makes a storage there.
    pub(crate) fn make_storage_at(root: &Path, id: Uuid) {
        std::fs::create_dir_all(root).unwrap();
        let marker = format!(r#"{{"format": 1, "storage_id": "{id}"}}"#);
        std::fs::write(root.join("pgdumpd-storage.json"), marker).unwrap();
    }

    /// Lets daemons from now on use a stand-in for pg_dump.
    pub(crate) fn use_fake(&mut self, fake: &FakePgDump) {
        let dir = quoted(&fake.dir().display().to_string());
        self.set("pg_dump", "directories", format!("[{dir}]"));
    }

    /// The id of the queue that its address leads to.
    pub(crate) async fn queue_id(&self) -> Uuid {
        sqlx::query_scalar("SELECT id FROM pgdumpd.queue")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

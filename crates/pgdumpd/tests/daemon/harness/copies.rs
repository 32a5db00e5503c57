//! Copies in further storages.

use std::path::PathBuf;

use pgdumpd_client::{JobKind, JobStatus, ListFilter};
use pgdumpd_testkit::eventually;
use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

use super::{SOON, World, quoted};

impl World {
    /// Adds a storage, for daemons started or reloaded from now on.
    pub(crate) fn add_storage(&mut self, name: &str) {
        let path = quoted(&self.place(name).display().to_string());
        let section = format!("storages.{name}");
        self.set(&section, "path", path);
        self.set(&section, "min_free", quoted("1MiB"));
    }

    pub(crate) fn place(&self, storage: &str) -> PathBuf {
        self.dir.path().join(storage)
    }

    /// The copies that were asked for of a backup, by storage.
    pub(crate) async fn copies(&self, backup: Uuid) -> Vec<JobStatus> {
        let filter = ListFilter {
            kind: Some(JobKind::Copy),
            copy_of: Some(backup),
            ..ListFilter::default()
        };
        let mut copies = pgdumpd_client::list(&self.pool, &filter).await.unwrap();
        copies.sort_by(|a, b| a.copy_to.cmp(&b.copy_to));
        copies
    }

    /// The one copy that was asked for.
    pub(crate) async fn copy(&self, backup: Uuid) -> Uuid {
        let copies = self.copies(backup).await;
        assert_eq!(copies.len(), 1, "{copies:#?}");
        copies[0].id
    }

    /// Takes a backup.
    pub(crate) async fn back_up(&self) -> Uuid {
        let id = self.enqueue().await;
        self.succeeded(id).await;
        id
    }

    /// Waits until so many storages hold the backup, of so many.
    pub(crate) async fn held_by(&self, backup: Uuid, copies: &str) {
        self.until(backup, copies, |status| status.copies == copies)
            .await;
    }
}

/// A world whose target is copied to these storages.
pub(crate) async fn copying(copies: &[&str]) -> World {
    let mut world = World::new().await;
    for name in copies {
        world.add_storage(name);
    }
    world.set("targets.shop", "storage", quoted("local"));
    world.set("targets.shop", "copies", format!("{copies:?}"));
    world
}

/// Holds every copy that is about to publish, until the connection is closed.
pub(crate) async fn hold_publishing(world: &World) -> PgConnection {
    let mut holder = world.queue.connect().await;
    holder
        .execute(
            "SELECT pg_advisory_lock(42);
             CREATE OR REPLACE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER hold BEFORE UPDATE ON pgdumpd.backup_jobs FOR EACH ROW
                 WHEN (NEW.kind = 'copy' AND NEW.phase = 'publishing') EXECUTE FUNCTION public.hold()",
        )
        .await
        .unwrap();
    holder
}

/// Waits until a copy is held.
pub(crate) async fn held(world: &World) {
    eventually("a copy is about to publish", SOON, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
}

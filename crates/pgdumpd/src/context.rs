//! What the jobs, checks and tasks of a daemon share.

pub(crate) mod agreement;
mod catalog;
mod known_servers;
mod known_storages;
mod retention_queue;
pub(crate) mod target_settings;

pub use catalog::{Catalog, resolve_targets};
pub use known_servers::KnownServers;
pub use known_storages::KnownStorages;
pub(crate) use retention_queue::Due;
pub use retention_queue::RetentionQueue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use crate::config::{DaemonConfig, PgDumpConfig};
use crate::metrics::Counters;
use crate::queue::{Queue, Worker};

/// What every job of this daemon shares.
#[derive(Debug)]
pub struct Services {
    /// The queue.
    pub queue: Queue,
    /// This process.
    pub worker: Worker,
    /// `[daemon]`, as read at the start.
    pub daemon: DaemonConfig,
    /// `[pg_dump]`, as read at the start.
    pub pg_dump: PgDumpConfig,
    /// Successes after which older backups may be deleted.
    pub retention: RetentionQueue,
    /// What this process counts.
    pub counters: Arc<Counters>,
    catalog: watch::Sender<Arc<Catalog>>,
    running: AtomicUsize,
    copying: AtomicUsize,
    hint: watch::Sender<u64>,
    recheck: Notify,
}

impl Services {
    /// Of a daemon that starts.
    pub(crate) fn new(
        queue: Queue,
        worker: Worker,
        daemon: DaemonConfig,
        pg_dump: PgDumpConfig,
        catalog: Catalog,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        counters.set_alert_after(catalog.alert_after());
        Self {
            counters,
            queue,
            worker,
            daemon,
            pg_dump,
            retention: RetentionQueue::default(),
            catalog: watch::Sender::new(Arc::new(catalog)),
            running: AtomicUsize::new(0),
            copying: AtomicUsize::new(0),
            hint: watch::Sender::new(0),
            recheck: Notify::new(),
        }
    }

    /// The targets and storages of the moment.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// Changes whenever targets and storages are read again.
    pub(crate) fn catalog_changes(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalog.subscribe()
    }

    /// Replaces the targets and storages.
    pub(crate) fn replace_catalog(&self, catalog: Catalog) {
        self.counters.set_alert_after(catalog.alert_after());
        self.catalog.send_replace(Arc::new(catalog));
        self.give_hint();
    }

    /// Changes whenever something in the queue may have changed: new jobs, requests to cancel.
    pub fn hints(&self) -> watch::Receiver<u64> {
        self.hint.subscribe()
    }

    /// Reports that something in the queue may have changed.
    pub(crate) fn give_hint(&self) {
        self.hint.send_modify(|count| *count += 1);
    }

    /// How many backups and copies run.
    pub fn running(&self) -> (usize, usize) {
        let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (load(&self.running), load(&self.copying))
    }

    /// Sets how many run.
    pub fn set_running(&self, backups: usize, copies: usize) {
        self.counters.running(backups, copies);
        self.running.store(backups, Ordering::Relaxed);
        self.copying.store(copies, Ordering::Relaxed);
    }

    /// Asks for a round of checks: what the last one reported is out of date.
    pub(crate) fn ask_for_checks(&self) {
        self.recheck.notify_one();
    }

    /// Waits until a round of checks is asked for.
    pub(crate) async fn checks_asked_for(&self) {
        self.recheck.notified().await;
    }
}

//! How far a stream has come, for whoever reports or guards it.

use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pgdump_archive::{DataKind, DumpId, Event, Toc};

/// Counters of one run, read while it runs. Numbers belong together only roughly: each is read by itself.
#[derive(Debug)]
pub struct Meter {
    made: Instant,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    blocks_done: AtomicUsize,
    tables_done: AtomicUsize,
    tables_total: AtomicUsize,
    /// The dump id of the block that passes; 0 between blocks.
    current: AtomicI32,
    current_bytes: AtomicU64,
    toc: OnceLock<Arc<Toc>>,
    waiting: AtomicU8,
    /// Milliseconds since `made`.
    last_in: AtomicU64,
    last_out: AtomicU64,
}

/// Whom the next byte waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Waiting {
    /// The source has nothing to give.
    Source,
    /// The source's bytes are not taken: the sink, or the reading thread, is behind.
    Sink,
}

/// A [`Meter`] at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Bytes that the source gave.
    pub bytes_in: u64,
    /// Bytes that the sink took.
    pub bytes_out: u64,
    /// The table of contents, once it has passed.
    pub toc: Option<Arc<Toc>>,
    /// Data blocks that have passed: the first so many of the table of contents' `data_entries`.
    pub blocks_done: usize,
    /// Those of them that are tables.
    pub tables_done: usize,
    /// Tables with data; 0 before the table of contents has passed.
    pub tables_total: usize,
    /// The entry whose data passes now.
    pub current: Option<DumpId>,
    /// Bytes of it so far, as stored.
    pub current_bytes: u64,
    /// Whom the next byte waits for.
    pub waiting: Waiting,
    /// How long ago the source last gave a byte; since the meter was made, if never.
    pub since_in: Duration,
    /// How long ago the sink last took one.
    pub since_out: Duration,
}

impl Snapshot {
    /// The current entry's table, as `schema.name`.
    pub fn current_table(&self) -> Option<String> {
        let entry = self.toc.as_ref()?.get(self.current?)?;
        (entry.data_kind() == Some(DataKind::Table)).then(|| entry.qualified_name())
    }

    /// How long no byte has moved on either side.
    pub fn idle(&self) -> Duration {
        self.since_in.min(self.since_out)
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            blocks_done: AtomicUsize::new(0),
            tables_done: AtomicUsize::new(0),
            tables_total: AtomicUsize::new(0),
            current: AtomicI32::new(0),
            current_bytes: AtomicU64::new(0),
            toc: OnceLock::new(),
            waiting: AtomicU8::new(Waiting::Source as u8),
            last_in: AtomicU64::new(0),
            last_out: AtomicU64::new(0),
        }
    }
}

impl Meter {
    /// A meter for one run.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How far it is now.
    pub fn snapshot(&self) -> Snapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let now = self.elapsed();
        let since = |last| Duration::from_millis(now.saturating_sub(load(last)));
        let waiting = match self.waiting.load(Ordering::Relaxed) {
            source if source == Waiting::Source as u8 => Waiting::Source,
            _ => Waiting::Sink,
        };
        Snapshot {
            bytes_in: load(&self.bytes_in),
            bytes_out: load(&self.bytes_out),
            toc: self.toc.get().cloned(),
            blocks_done: count(&self.blocks_done),
            tables_done: count(&self.tables_done),
            tables_total: count(&self.tables_total),
            current: DumpId::new(self.current.load(Ordering::Relaxed)),
            current_bytes: load(&self.current_bytes),
            waiting,
            since_in: since(&self.last_in),
            since_out: since(&self.last_out),
        }
    }

    pub(super) fn waits_for(&self, whom: Waiting) {
        self.waiting.store(whom as u8, Ordering::Relaxed);
    }

    pub(super) fn came_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        self.last_in.store(self.elapsed(), Ordering::Relaxed);
    }

    pub(super) fn went_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        self.last_out.store(self.elapsed(), Ordering::Relaxed);
    }

    /// Called from one thread alone, for every event: in an uncompressed archive for every row.
    pub(super) fn saw(&self, event: Event<'_>) {
        match event {
            Event::Toc(toc) => {
                let tables = toc
                    .data_entries()
                    .filter(|e| e.data_kind() == Some(DataKind::Table));
                self.tables_total.store(tables.count(), Ordering::Relaxed);
                // A second table of contents cannot come: the parser reads one archive.
                let _ = self.toc.set(Arc::clone(toc));
            }
            Event::DataStart { dump_id, .. } => {
                self.current_bytes.store(0, Ordering::Relaxed);
                self.current.store(dump_id.get(), Ordering::Relaxed);
            }
            Event::Data(bytes) => {
                // The only writer: no need for an atomic addition.
                let so_far = self.current_bytes.load(Ordering::Relaxed);
                self.current_bytes
                    .store(so_far + bytes.len() as u64, Ordering::Relaxed);
            }
            Event::DataEnd { dump_id, .. } => {
                let entry = self.toc.get().and_then(|toc| toc.get(dump_id));
                if entry.is_some_and(|e| e.data_kind() == Some(DataKind::Table)) {
                    self.tables_done.fetch_add(1, Ordering::Relaxed);
                }
                self.blocks_done.fetch_add(1, Ordering::Relaxed);
                self.current.store(0, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

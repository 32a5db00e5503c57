//! How far a stream has come, for whoever reports or guards it.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pgdump_archive::{DataKind, Event, IndexEntry, SoFar, Text, Toc};

/// Counters of one run, read while it runs. Numbers belong together only roughly: each is read by itself.
#[derive(Debug)]
pub struct Meter {
    made: Instant,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    counted: Mutex<Counted>,
    tables_total: AtomicUsize,
    database: OnceLock<Text>,
    toc: OnceLock<Arc<Toc>>,
    waiting: AtomicU8,
    /// Milliseconds since `made`.
    last_in: AtomicU64,
    last_out: AtomicU64,
}

/// What was counted in the data; nothing where the archive is passed on unread.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// The raw bytes of each block that is complete, in the archive's order.
    pub blocks: Vec<u64>,
    /// How many of them are tables.
    pub tables_done: usize,
    /// Rows of the complete blocks; those of INSERT commands are not counted.
    pub rows: u64,
    /// Of the current block.
    pub so_far: SoFar,
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
    /// Tables with data; 0 before the table of contents has passed.
    pub tables_total: usize,
    /// Whom the next byte waits for.
    pub waiting: Waiting,
    /// How long ago the source last gave a byte; since the meter was made, if never.
    pub since_in: Duration,
    /// How long ago the sink last took one.
    pub since_out: Duration,
}

impl Snapshot {
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
            counted: Mutex::default(),
            tables_total: AtomicUsize::new(0),
            database: OnceLock::new(),
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
            tables_total: self.tables_total.load(Ordering::Relaxed),
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

    /// Of which database the archive says it is, once its header has passed.
    pub fn database(&self) -> Option<&Text> {
        self.database.get()
    }

    /// What was counted up to now, of the blocks the `from`th and later alone.
    pub fn counted_from(&self, from: usize) -> Counted {
        let counted = self.lock();
        Counted {
            blocks: counted.blocks.get(from..).unwrap_or_default().to_vec(),
            ..*counted
        }
    }

    /// How many blocks have begun: those that are complete, and the one that has bytes.
    pub fn blocks_begun(&self) -> usize {
        let counted = self.lock();
        counted.blocks.len() + usize::from(counted.so_far.raw_bytes > 0)
    }

    /// Called for every event: of an uncompressed archive for every row.
    #[inline]
    pub(super) fn saw(&self, event: Event<'_>) {
        if let Event::Toc(toc) = event {
            let tables = toc
                .data_entries()
                .filter(|e| e.data_kind() == Some(DataKind::Table));
            self.tables_total.store(tables.count(), Ordering::Relaxed);
            // A second table of contents cannot come: the parser reads one archive.
            let _ = self.toc.set(Arc::clone(toc));
        }
        if let Event::Header(header) = event {
            let _ = self.database.set(header.database.clone());
        }
    }

    /// Called for every buffer, with all blocks that are complete.
    pub(super) fn counts(&self, complete: &[IndexEntry], so_far: SoFar) {
        let mut counted = self.lock();
        for block in complete.get(counted.blocks.len()..).unwrap_or_default() {
            counted.blocks.push(block.raw_bytes);
            counted.tables_done += usize::from(block.kind == DataKind::Table);
            counted.rows += block.rows.unwrap_or(0);
        }
        counted.so_far = so_far;
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

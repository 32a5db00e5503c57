//! Watches a dump from outside while it flows: reads the session's waits, ends it when a guard
//! says so, and turns what passes into progress.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::debug;

use super::catalog::CatalogPhase;
use super::cost::Costs;
use super::estimate::Bar;
use super::reporter::{Counts, Phase, Reporter};
use super::sampling::{Measured, WAITING, Weights, weigh};
use super::tracker::Flow;
use crate::code::Code;
use crate::config::TargetConfig;
use crate::dump::OutputMeter;
use crate::fault::Fault;
use crate::pipeline::{Meter, Snapshot, Waiting};
use crate::server::guard::{LockGuard, StallGuard};
use crate::server::{SessionState, Sizes, Target};
use crate::store::BytesMoved;

/// Between two observations of the session and the meter.
const LOOK: Duration = Duration::from_millis(500);
/// Until the first byte has come: the catalog phase of a small database is short.
const EARLY_LOOK: Duration = Duration::from_millis(100);

/// An observation that takes longer is abandoned: the guards must not wait for it.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// What the watch needs.
pub(in crate::job) struct Watch<'a> {
    pub(in crate::job) target: &'a Target,
    pub(in crate::job) config: &'a TargetConfig,
    pub(in crate::job) application_name: &'a str,
    pub(in crate::job) output: OutputMeter,
    /// What moves into the storage: a large part on a slow link takes its time.
    pub(in crate::job) moved: BytesMoved,
    pub(in crate::job) meter: Arc<Meter>,
    pub(in crate::job) reporter: &'a Reporter,
    /// Whether filters leave out a part of the database.
    pub(in crate::job) partial: bool,
    /// Of its tables; nothing where that could not be measured.
    pub(in crate::job) sizes: &'a Sizes,
    pub(in crate::job) costs: Costs,
    pub(in crate::job) pg_dump_major: u32,
}

impl Watch<'_> {
    /// Runs until a guard fires; dropped when the stream has ended. Cancel-safe: it only reads.
    pub(in crate::job) async fn run(&self) -> Fault {
        let mut locks = LockGuard::new(self.config.lock_wait_timeout);
        if self.config.encryption.is_some() {
            // A statement may hold what the archive is encrypted for.
            locks = locks.without_statements();
        }
        let mut stalls = StallGuard::new(self.config.stall_timeout);
        let mut sent = (self.moved.bytes(), Instant::now());
        let mut flow: Option<Flow> = None;
        let mut bar = Bar::default();
        let mut catalog = CatalogPhase::new(
            self.sizes.tables.len(),
            self.pg_dump_major,
            self.reporter.elapsed(),
            Instant::now(),
        );
        let (found, mut measured) = mpsc::channel(WAITING);
        let mut sampling = std::pin::pin!(self.sample(found));
        let mut is_sampling = true;
        let mut weights = Weights::new(self.sizes);
        // When the data began, and how long the job had taken until then.
        let mut began: Option<(Instant, Duration)> = None;
        loop {
            let look = self.look().await;
            let now = Instant::now();
            let locked = look.as_ref().and_then(|look| locks.observe(now, look));
            let (bytes, reader_waits) = (self.output.bytes(), self.output.reader_waits());
            let seen = self.meter.snapshot();
            if sent.0 != self.moved.bytes() {
                sent = (self.moved.bytes(), now);
            }
            let ended = locked
                .or_else(|| stalls.observe(now, bytes, reader_waits, look.as_ref()))
                .or_else(|| self.storage_stalled(&seen, now - sent.1));
            if let Some(fault) = ended {
                return fault;
            }
            if let Some(toc) = &seen.toc {
                self.reporter.enter(Phase::Data);
                let (began, before) = *began.get_or_insert_with(|| (now, self.reporter.elapsed()));
                let bar = std::mem::take(&mut bar);
                let flow = flow.get_or_insert_with(|| Flow::new(toc, before, began, bar));
                if weights.take_news() {
                    flow.weigh(&weights);
                }
                let (progress, counts) = flow.update(now, &seen, &self.meter);
                self.reporter
                    .advance(progress.share, Some(progress.remaining), counts);
            } else if !self.partial {
                // With filters only the table of contents shows what will come.
                let progress = catalog.update(now, look.as_ref(), &weights, &mut bar);
                self.reporter
                    .advance(progress.share, Some(progress.remaining), Counts::default());
            }
            let pause = if flow.is_none() { EARLY_LOOK } else { LOOK };
            let mut pause = std::pin::pin!(tokio::time::sleep(pause));
            loop {
                tokio::select! {
                    () = &mut sampling, if is_sampling => is_sampling = false,
                    Some(more) = measured.recv() => weights.add(more),
                    () = &mut pause => break,
                }
            }
        }
    }

    async fn look(&self) -> Option<SessionState> {
        let look = self.target.look(self.application_name);
        match tokio::time::timeout(LOOK_LIMIT, look).await {
            Ok(Ok(look)) => Some(look),
            Ok(Err(fault)) => {
                debug!("the dump's session cannot be inspected: {}", fault.report());
                None
            }
            Err(_) => {
                debug!("the dump's session cannot be inspected: no answer");
                None
            }
        }
    }

    /// While the storage takes nothing, pg_dump holds its locks on production's tables.
    fn storage_stalled(&self, seen: &Snapshot, unsent: Duration) -> Option<Fault> {
        let limit = self.config.stall_timeout;
        let idle = seen.idle().min(unsent);
        (seen.waiting == Waiting::Sink && idle >= limit).then(|| {
            Fault::transient(
                Code::StorageStalled,
                format!(
                    "the storage has taken no byte for {}",
                    humantime::format_duration(limit)
                ),
            )
            .hint("Check the storage's file system, or the network to it; the target's stall_timeout is the limit.")
        })
    }

    /// The tables' weights; without them the dump continues.
    async fn sample(&self, found: mpsc::Sender<Measured>) {
        if self.config.progress_sample {
            let dumped = if self.partial {
                Some(self.dumped_tables().await)
            } else {
                None
            };
            weigh(self.target, self.sizes, dumped.as_ref(), self.costs, &found).await;
        }
    }

    /// The tables that the archive will hold: what filters leave, only pg_dump knows.
    async fn dumped_tables(&self) -> HashSet<i64> {
        loop {
            if let Some(toc) = self.meter.snapshot().toc {
                let tables = toc.data_entries().filter(|entry| entry.is_table_data());
                return tables.map(|entry| entry.oid.into()).collect();
            }
            tokio::time::sleep(EARLY_LOOK).await;
        }
    }
}

//! Watches a dump from outside while it flows: reads the session's waits and its COPY, ends it when a guard
//! says so, and turns what passes into progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::flowing::Flow;
use super::reporter::{Phase, Reporter};
use crate::config::TargetConfig;
use crate::dump::OutputMeter;
use crate::fault::Fault;
use crate::pipeline::Meter;
use crate::target::{LockGuard, SessionLook, StallGuard, Target};

/// Between two looks at the session and the meter.
const LOOK: Duration = Duration::from_millis(500);
/// Until the first byte has come: the catalog phase of a small database is short.
const EARLY_LOOK: Duration = Duration::from_millis(100);

/// What the watch needs.
pub(super) struct Watch<'a> {
    pub(super) target: &'a Target,
    pub(super) config: &'a TargetConfig,
    pub(super) application_name: &'a str,
    pub(super) output: OutputMeter,
    pub(super) meter: Arc<Meter>,
    pub(super) reporter: &'a Reporter,
}

impl Watch<'_> {
    /// Runs until a guard fires; dropped when the stream has ended. Cancel-safe: it only reads.
    pub(super) async fn run(&self) -> Fault {
        let sizes = self.target.table_sizes().await.unwrap_or_else(|fault| {
            debug!("the tables' sizes are unknown: {}", fault.report());
            Vec::new()
        });
        let mut locks = LockGuard::new(self.config.lock_wait_timeout);
        let mut stalls = StallGuard::new(self.config.stall_timeout);
        let mut flow: Option<Flow> = None;
        loop {
            let look = self
                .target
                .look(self.application_name)
                .await
                .unwrap_or_else(|fault| {
                    debug!("the dump's session cannot be looked at: {}", fault.report());
                    SessionLook::default()
                });
            let now = Instant::now();
            if let Some(fault) = locks.see(now, &look) {
                return fault;
            }
            let excused = look.waiting_for_lock.is_some() || !self.output.reader_waits();
            if let Some(fault) = stalls.see(now, self.output.bytes(), excused) {
                return fault;
            }
            let now_flowing = self.meter.snapshot();
            if let Some(toc) = &now_flowing.toc {
                let flow = flow.get_or_insert_with(|| {
                    self.reporter.enter(Phase::Data);
                    Flow::new(toc, &sizes)
                });
                let (share, counts) = flow.update(&now_flowing, look.copy.as_ref());
                self.reporter.advance(share, counts);
            }
            tokio::time::sleep(if flow.is_none() { EARLY_LOOK } else { LOOK }).await;
        }
    }
}

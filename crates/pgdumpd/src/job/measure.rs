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
use crate::target::guard::{LockGuard, StallGuard};
use crate::target::{Sizes, Target};

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
        let mut locks = LockGuard::new(self.config.lock_wait_timeout);
        let mut stalls = StallGuard::new(self.config.stall_timeout);
        let mut flow: Option<Flow> = None;
        // Measured beside the dump: it may take its time, and pg_dump has its catalogs to read meanwhile.
        let mut measuring = std::pin::pin!(self.sizes());
        let mut sizes: Option<Sizes> = None;
        loop {
            let look = match self.target.look(self.application_name).await {
                Ok(look) => Some(look),
                Err(fault) => {
                    debug!("the dump's session cannot be looked at: {}", fault.report());
                    None
                }
            };
            let now = Instant::now();
            let locked = look.as_ref().and_then(|look| locks.observe(now, look));
            let (bytes, reader_waits) = (self.output.bytes(), self.output.reader_waits());
            let ended = locked.or_else(|| stalls.observe(now, bytes, reader_waits, look.as_ref()));
            if let Some(fault) = ended {
                return fault;
            }
            let seen = self.meter.snapshot();
            if let (Some(toc), Some(sizes)) = (&seen.toc, &sizes) {
                let flow = flow.get_or_insert_with(|| {
                    self.reporter.enter(Phase::Data);
                    Flow::new(toc, sizes)
                });
                let (share, counts) = flow.update(&seen, look.and_then(|look| look.copy).as_ref());
                self.reporter.advance(share, counts);
            }
            tokio::select! {
                measured = &mut measuring, if sizes.is_none() => sizes = Some(measured),
                () = tokio::time::sleep(if flow.is_none() { EARLY_LOOK } else { LOOK }) => {}
            }
        }
    }

    /// What the tables weigh; nothing known is no reason to end a dump.
    async fn sizes(&self) -> Sizes {
        self.target.size().await.unwrap_or_else(|fault| {
            debug!("the tables' sizes are unknown: {}", fault.report());
            Sizes::default()
        })
    }
}

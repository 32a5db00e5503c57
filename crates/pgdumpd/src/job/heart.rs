//! The heartbeat of one job: from its claim to its end it renews the lease, writes the progress, and
//! hears of a cancel or of the lease's loss.
//!
//! A beat is sent at once when a hint says that somebody may have cancelled, a second after the last when
//! the progress has changed, and every tick otherwise. When no beat has been acknowledged for the lease
//! less one tick, counted from when the last good one was *sent*, the job must stop: by then another
//! daemon may be about to take it over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, warn};

use super::halt::{Halt, HaltSwitch};
use super::reporter::Reporter;
use crate::queue::{Beat, Lease, Queue};

/// Between two writes of progress: the row of a running job is written at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Between a beat and one that a hint asks for, so that nobody can make a daemon hammer its queue.
const HINT_INTERVAL: Duration = Duration::from_millis(200);

/// How often the heart beats, and how long its lease lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long a claim lasts without a beat.
    pub(super) lease: Duration,
    /// How often a beat is sent at least.
    pub(super) tick: Duration,
}

/// A running heart. Stop it after the job's end is written.
#[derive(Debug)]
pub(super) struct Heart {
    ending: CancellationToken,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Heart {
    /// Starts to beat. `claimed` is when the claim was sent; `hint` wakes the heart early.
    pub(super) fn start(
        queue: Queue,
        lease: Lease,
        pace: Pace,
        claimed: Instant,
        hint: watch::Receiver<u64>,
        reporter: Arc<Reporter>,
        switch: Arc<HaltSwitch>,
    ) -> Self {
        let ending = CancellationToken::new();
        let stop = CancellationToken::new();
        let beating = Beating {
            queue,
            lease,
            pace,
            hint,
            reporter,
            switch,
            ending: ending.clone(),
            stop: stop.clone(),
        };
        let task = tokio::spawn(beating.run(claimed).in_current_span());
        Self { ending, stop, task }
    }

    /// Says that the job's end is about to be written. The heart goes on, because that may take long, but to find
    /// the lease gone is no news then: whoever writes the end is told whether it was still ours.
    pub(super) fn job_ends(&self) {
        self.ending.cancel();
    }

    /// Stops the heart and waits until it is still.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            warn!(%error, "the heartbeat task ended badly");
        }
    }
}

struct Beating {
    queue: Queue,
    lease: Lease,
    pace: Pace,
    hint: watch::Receiver<u64>,
    reporter: Arc<Reporter>,
    switch: Arc<HaltSwitch>,
    ending: CancellationToken,
    stop: CancellationToken,
}

impl Beating {
    async fn run(mut self, claimed: Instant) {
        let mut good = claimed;
        let mut sent = claimed;
        // The first beat is due at once: a cancel may have met the claim.
        let mut first = true;
        loop {
            if !first && !self.wait(sent).await {
                return;
            }
            first = false;
            sent = Instant::now();
            let deadline = good + self.pace.lease.saturating_sub(self.pace.tick);
            tokio::select! {
                () = self.stop.cancelled() => return,
                beat = self.beat(deadline) => match beat {
                    Some(Beat::Renewed { cancel }) => {
                        good = sent;
                        if cancel {
                            self.switch.throw(Halt::Cancelled);
                        }
                    }
                    Some(Beat::LeaseLost) => {
                        if !self.ending.is_cancelled() {
                            warn!("the lease is lost: another daemon owns the job, or it has ended");
                            self.switch.throw(Halt::LeaseLost);
                        }
                        return;
                    }
                    None if Instant::now() >= deadline => {
                        warn!(
                            lease.seconds = self.pace.lease.as_secs_f64(),
                            "the queue has not acknowledged a heartbeat for almost a lease: giving the job up"
                        );
                        self.switch.throw(Halt::LeaseLost);
                        return;
                    }
                    None => {}
                },
            }
        }
    }

    /// Waits until the next beat is due; false when the heart is to stop.
    async fn wait(&mut self, sent: Instant) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep_until(sent + self.pace.tick) => true,
            () = async {
                hinted(&mut self.hint).await;
                tokio::time::sleep_until(sent + HINT_INTERVAL).await;
            } => true,
            () = async {
                tokio::time::sleep_until(sent + PROGRESS_INTERVAL.min(self.pace.tick)).await;
                self.reporter.changed().await;
            } => true,
        }
    }

    /// One beat; none when the queue did not acknowledge it in time.
    async fn beat(&self, deadline: Instant) -> Option<Beat> {
        let progress = self.reporter.progress();
        let patience = self.pace.tick.max(PROGRESS_INTERVAL).min(
            deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(50)),
        );
        let beat = self
            .queue
            .heartbeat(&self.lease, self.pace.lease, &progress);
        match tokio::time::timeout(patience, beat).await {
            Ok(Ok(beat)) => Some(beat),
            Ok(Err(error)) => {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "a heartbeat failed"
                );
                None
            }
            Err(_) => {
                debug!("a heartbeat was not answered in time");
                None
            }
        }
    }
}

/// Waits for a hint; for ever when nobody is left to give one.
async fn hinted(hint: &mut watch::Receiver<u64>) {
    if hint.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

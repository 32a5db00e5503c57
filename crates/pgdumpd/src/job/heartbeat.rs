//! The heartbeat of one job: from its claim to its end it renews the lease, writes the progress, and learns of a cancel
//! or of the lease's loss.
//!
//! A beat is sent a second after the last when the progress has changed, and every tick otherwise. A hint that
//! somebody may have cancelled is followed up at once, by reading only. When no beat has been acknowledged for the
//! lease less one tick, counted from when the last good one was *sent*, the job must stop: by then another
//! daemon may be about to take it over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, debug, warn};

use super::cancel::{CancelReason, JobCancel};
use super::progress::reporter::Reporter;
use crate::queue::{Beat, Lease, Queue};

/// Between two writes of progress: the row of a running job is written at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Between two hints that are followed up, so that nobody can make a daemon hammer its queue.
const HINT_INTERVAL: Duration = Duration::from_millis(200);
/// A heartbeat whose time is nearly over still gets this long.
const SHORTEST_RETRY: Duration = Duration::from_millis(50);

/// How often the heartbeat beats, and how long its lease lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseTiming {
    /// How long a claim lasts without a beat.
    pub(super) lease: Duration,
    /// How often a beat is sent at least.
    pub(super) tick: Duration,
}

/// A running heartbeat. Stop it after the job's end is written.
#[derive(Debug)]
pub(super) struct Heartbeat {
    ending: CancellationToken,
    /// Dropped with a job that panicked, too: its lease must be left to expire.
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Heartbeat {
    /// Starts to beat. `claimed` is when the claim was sent; `hint` wakes the heartbeat early.
    pub(super) fn start(
        queue: Queue,
        lease: Lease,
        timing: LeaseTiming,
        claimed: Instant,
        hint: watch::Receiver<u64>,
        reporter: Arc<Reporter>,
        cancel: Arc<JobCancel>,
    ) -> Self {
        let ending = CancellationToken::new();
        let stop = CancellationToken::new();
        let beating = HeartbeatTask {
            queue,
            lease,
            timing,
            hint,
            reporter,
            cancel,
            ending: ending.clone(),
            stop: stop.clone(),
        };
        #[expect(clippy::disallowed_methods, reason = "`stop` waits for it")]
        let task = tokio::spawn(beating.run(claimed).in_current_span());
        Self {
            ending,
            stop: stop.drop_guard(),
            task,
        }
    }

    /// Reports that the job's end is about to be written. The heartbeat continues, because that may take long, but a
    /// lost lease is ignored from then on: the statement that writes the end returns whether the lease was still ours.
    pub(super) fn job_ends(&self) {
        self.ending.cancel();
    }

    /// Stops the heartbeat and waits until it is still.
    pub(super) async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            warn!(%error, "the heartbeat task failed");
        }
    }
}

/// What the heartbeat has to do next.
enum Due {
    Beat,
    Probe,
    Stop,
}

struct HeartbeatTask {
    queue: Queue,
    lease: Lease,
    timing: LeaseTiming,
    hint: watch::Receiver<u64>,
    reporter: Arc<Reporter>,
    cancel: Arc<JobCancel>,
    ending: CancellationToken,
    stop: CancellationToken,
}

impl HeartbeatTask {
    async fn run(mut self, claimed: Instant) {
        let mut good = claimed;
        let mut sent = claimed;
        let mut probed = claimed;
        // The first beat is due at once: a cancel may have met the claim.
        let mut first = true;
        loop {
            let deadline = good + self.timing.lease.saturating_sub(self.timing.tick);
            if !first {
                match self.wait(sent, probed, deadline).await {
                    Due::Stop => return,
                    Due::Probe => {
                        probed = Instant::now();
                        self.probe().await;
                        continue;
                    }
                    Due::Beat => {}
                }
            }
            first = false;
            sent = Instant::now();
            tokio::select! {
                () = self.stop.cancelled() => return,
                beat = self.beat(deadline) => match beat {
                    Some(Beat::Renewed { cancel }) => {
                        good = sent;
                        if cancel {
                            self.cancel.request(CancelReason::Requested);
                        }
                    }
                    Some(Beat::LeaseLost) => {
                        if !self.ending.is_cancelled() {
                            warn!("the lease is lost: another daemon owns the job, or it has ended");
                            self.cancel.request(CancelReason::LeaseLost);
                        }
                        return;
                    }
                    None if Instant::now() >= deadline => {
                        warn!(
                            lease.seconds = self.timing.lease.as_secs_f64(),
                            "the queue has not acknowledged a heartbeat for almost a lease: abandoning the job"
                        );
                        self.cancel.request(CancelReason::LeaseLost);
                        return;
                    }
                    None => {}
                },
            }
        }
    }

    /// Waits until there is something to do: a beat at the deadline at the latest, to find that it has passed.
    async fn wait(&mut self, sent: Instant, probed: Instant, deadline: Instant) -> Due {
        let tick = (sent + self.timing.tick).min(deadline.max(sent + SHORTEST_RETRY));
        tokio::select! {
            () = self.stop.cancelled() => Due::Stop,
            () = tokio::time::sleep_until(tick) => Due::Beat,
            () = async {
                tokio::time::sleep_until(sent + PROGRESS_INTERVAL.min(self.timing.tick)).await;
                self.reporter.changed().await;
            } => Due::Beat,
            () = async {
                hinted(&mut self.hint).await;
                tokio::time::sleep_until(probed + HINT_INTERVAL).await;
            } => Due::Probe,
        }
    }

    /// Asks whether to cancel, without writing. What it misses, the next beat finds.
    async fn probe(&self) {
        let asked = self.queue.cancel_requested(&self.lease);
        if let Ok(Ok(true)) = tokio::time::timeout(self.timing.tick, asked).await {
            self.cancel.request(CancelReason::Requested);
        }
    }

    /// One beat; none when the queue did not acknowledge it in time.
    async fn beat(&self, deadline: Instant) -> Option<Beat> {
        let progress = self.reporter.progress();
        let timeout = self.timing.tick.max(PROGRESS_INTERVAL).min(
            deadline
                .saturating_duration_since(Instant::now())
                .max(SHORTEST_RETRY),
        );
        let beat = self
            .queue
            .heartbeat(&self.lease, self.timing.lease, &progress);
        match tokio::time::timeout(timeout, beat).await {
            Ok(Ok(beat)) => Some(beat),
            Ok(Err(error)) => {
                // A refusal will not pass by itself, and costs the job its lease.
                if error.sqlstate().is_some() {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the queue refused a heartbeat"
                    );
                } else {
                    debug!(
                        error = &error as &dyn std::error::Error,
                        "a heartbeat failed"
                    );
                }
                None
            }
            Err(_) => {
                debug!("a heartbeat was not answered in time");
                None
            }
        }
    }
}

/// Waits for a hint; forever if nobody is left to give one.
async fn hinted(hint: &mut watch::Receiver<u64>) {
    if hint.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

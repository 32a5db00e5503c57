//! Waits while the queue gives no answer, and says so now and then.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::fault::chain;
use crate::queue::QueueError;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(300);
/// Between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// A question that the queue does not answer.
pub(super) struct Outage {
    failed: &'static str,
    warned: Option<Instant>,
}

impl Outage {
    /// `failed` begins the line of the log: what could not be done.
    pub(super) fn new(failed: &'static str) -> Self {
        Self {
            failed,
            warned: None,
        }
    }

    /// Waits before the next question.
    pub(super) async fn pause(&mut self, error: &QueueError) {
        self.pause_because(&chain(error)).await;
    }

    /// The same for what is no error of the queue's, as an answer that does not come.
    pub(super) async fn pause_because(&mut self, reason: &str) {
        let due = |warned: Instant| warned.elapsed() >= WARN_EVERY;
        if self.warned.is_none_or(due) {
            self.warned = Some(Instant::now());
            warn!(error = reason, "{}; trying again", self.failed);
        }
        sleep(PAUSE).await;
    }
}

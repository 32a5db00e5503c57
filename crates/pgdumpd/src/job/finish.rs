//! Writes the end of an attempt to its row, through an outage of the queue as long as the lease may last.

use std::time::Duration;

use tokio::time::Instant;

use super::outage::Outage;
use crate::fault::chain;
use crate::lifecycle::Lifecycle;
use crate::queue::{Finished, Lease, Outcome, Queue};

/// A write that is not answered by then is tried again: it may be repeated.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The end could not be written: the lease runs out, and whoever claims the job next does it.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// What the queue said last, with its causes.
    pub(super) reason: String,
    /// Advice, where there is any.
    pub(super) hint: Option<&'static str>,
}

/// Tries for a whole lease (`limit`), at least once. A success is tried on until the daemon stops its jobs while the
/// queue cannot be reached: its row may be the last attempt's, which nobody else would finish. Where the queue refuses
/// it for a reason that does not pass, a lease is enough, and none is waited for by a daemon that stops: slot and
/// target are not kept forever, and whoever claims the job next finds the backup whole.
pub(super) async fn finish(
    queue: &Queue,
    lease: &Lease,
    outcome: &Outcome,
    limit: Duration,
    lifecycle: &Lifecycle,
) -> Result<Finished, Unwritten> {
    let deadline = Instant::now() + limit;
    let mut outage = Outage::new("the job's end could not be written");
    loop {
        let (refused, unwritten) =
            match tokio::time::timeout(FINISH_TIMEOUT, queue.finish(lease, outcome)).await {
                Ok(Ok(finished)) => return Ok(finished),
                Ok(Err(error)) => (
                    !error.may_pass(),
                    Unwritten {
                        reason: chain(&error),
                        hint: error.hint(),
                    },
                ),
                Err(_) => (
                    false,
                    Unwritten {
                        reason: "no answer in time".to_owned(),
                        hint: None,
                    },
                ),
            };
        let late = Instant::now() >= deadline;
        let kept = match outcome {
            Outcome::Succeeded(_) | Outcome::Copied(_) if refused => {
                !late && !lifecycle.drain.is_cancelled()
            }
            Outcome::Succeeded(_) | Outcome::Copied(_) => !late || !lifecycle.stop.is_cancelled(),
            _ => !late,
        };
        if !kept {
            return Err(unwritten);
        }
        outage.pause_because(&unwritten.reason).await;
    }
}

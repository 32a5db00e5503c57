//! Writes the end of an attempt to its row, through an outage of the queue as long as the lease may last.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::queue::{Finished, Lease, Outcome, Queue};

/// Between two tries.
const RETRY: Duration = Duration::from_millis(500);
/// A write that is not answered by then is tried again: it may be repeated.
const PATIENCE: Duration = Duration::from_secs(10);

/// None when the queue could not be reached for a whole lease: whoever claims the job next settles it. A success is
/// tried on until `shutdown`: its row may be the last attempt's, which nobody else would settle.
pub(super) async fn finish(
    queue: &Queue,
    lease: &Lease,
    outcome: &Outcome,
    limit: Duration,
    shutdown: &CancellationToken,
) -> Option<Finished> {
    let deadline = Instant::now() + limit;
    let mut told = false;
    loop {
        match tokio::time::timeout(PATIENCE, queue.finish(lease, outcome)).await {
            Ok(Ok(finished)) => return Some(finished),
            Ok(Err(error)) if !told => {
                told = true;
                warn!(
                    error = &error as &dyn std::error::Error,
                    "the job's end could not be written; trying again"
                );
            }
            _ => {}
        }
        let kept = matches!(outcome, Outcome::Succeeded(_) | Outcome::Copied(_))
            && !shutdown.is_cancelled();
        if Instant::now() >= deadline && !kept {
            return None;
        }
        tokio::time::sleep(RETRY).await;
    }
}

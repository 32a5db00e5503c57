//! Counts how attempts end, for metrics.

use tokio::time::Instant;

use super::error::Step;
use super::finish::Unwritten;
use super::job_context::JobContext;
use crate::metrics::Ended;
use crate::queue::{Finished, Outcome};

/// Counts the end of an attempt, as the queue has it.
pub(super) fn count_end(
    context: JobContext<'_>,
    outcome: &Outcome,
    finished: &Result<Finished, Unwritten>,
    claimed_at: Instant,
) {
    let counters = &context.services.counters;
    let kind = context.job.work.word();
    let ended = match (finished, outcome) {
        (Err(_), _) => Ended::Lost,
        (Ok(Finished::LeaseLost), _) => {
            counters.lease_lost();
            Ended::Lost
        }
        (Ok(Finished::Requeued { .. }), Outcome::Failed(_)) => Ended::Retried,
        (Ok(_), Outcome::Failed(_)) => Ended::Failed,
        (Ok(_), Outcome::Succeeded(_) | Outcome::Copied(_)) => Ended::Succeeded,
        (Ok(_), Outcome::Cancelled | Outcome::Moot(_)) => Ended::Cancelled,
        (Ok(_), Outcome::Released) => Ended::Released,
    };
    counters.ended(kind, ended, claimed_at.elapsed());
    match outcome {
        Outcome::Succeeded(success) | Outcome::Copied(success) => {
            let bytes = |count: i64| u64::try_from(count).unwrap_or_default();
            let dumped = success.progress.bytes_dumped;
            let dumped = dumped.filter(|_| matches!(outcome, Outcome::Succeeded(_)));
            counters.stored(kind, bytes(success.size_bytes), dumped.map_or(0, bytes));
        }
        Outcome::Failed(failure) => {
            counters.failed(kind, failure.step, failure.code);
            // What is at fault where a copy is read was counted for its source.
            let is_read = failure.step == Step::Copy.as_str();
            if failure.code.is_of_a_storage()
                && !is_read
                && let Some(storage) = context.storage_name()
            {
                counters.storage_failed(storage, failure.code);
            }
        }
        Outcome::Cancelled | Outcome::Moot(_) | Outcome::Released => {}
    }
}

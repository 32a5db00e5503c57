//! How long a storage may give no answer: a mount that hangs must fail a job, not hold it for ever.

use std::time::Duration;

use crate::code::Code;
use crate::fault::Fault;

/// Runs a step that must be answered within `limit`. What was asked for may still happen after that.
///
/// # Errors
/// The step's, or a transient [`Code::StorageStalled`].
pub async fn in_time<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, step).await {
        Ok(done) => done,
        Err(_) => Err(stalled(limit)),
    }
}

/// The fault of a storage that gave no answer for so long.
pub(super) fn stalled(limit: Duration) -> Fault {
    Fault::transient(
        Code::StorageStalled,
        format!(
            "no answer from the storage within {}",
            humantime::format_duration(limit)
        ),
    )
    .hint("Check the storage's file system, a network mount first; the target's stall_timeout is the limit.")
}

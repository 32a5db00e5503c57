//! How long a storage may give no answer: a mount that hangs must fail a job, not hold it forever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// A count that its clones share. Of what a local directory was sent, which takes each write at once, it stays 0.
#[derive(Debug, Clone, Default)]
pub struct BytesMoved(Arc<AtomicU64>);

impl BytesMoved {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Runs a step that may take its time for as long as bytes move, and else must be answered within `limit`.
    ///
    /// # Errors
    /// The step's, or a transient [`Code::StorageStalled`].
    pub async fn in_time<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let mut step = std::pin::pin!(step);
        let mut seen = self.bytes();
        loop {
            tokio::select! {
                done = &mut step => return done,
                () = tokio::time::sleep(limit) => {}
            }
            let bytes = self.bytes();
            if bytes == seen {
                return Err(stalled(limit));
            }
            seen = bytes;
        }
    }
}

/// The fault of a storage that gave no answer for so long.
fn stalled(limit: Duration) -> Fault {
    Fault::transient(
        Code::StorageStalled,
        format!(
            "no answer from the storage within {}",
            humantime::format_duration(limit)
        ),
    )
    .hint("Check the storage's file system, a network mount first; the target's stall_timeout is the limit.")
}

//! How many bytes have moved: a part on a slow link, or a large object that is read, takes its time, and moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::stall::stalled;
use crate::fault::Fault;

/// A count that its clones share. Of what a local directory was sent, which takes each write at once, it stays 0.
#[derive(Debug, Clone, Default)]
pub struct Moved(Arc<AtomicU64>);

impl Moved {
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
    /// The step's, or a transient [`Code::StorageStalled`](crate::code::Code::StorageStalled).
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

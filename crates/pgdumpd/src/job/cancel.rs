//! Why a running job must stop before its end, and the token that its steps wait for.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Why a job must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelReason {
    /// Somebody asked to cancel it.
    Requested,
    /// Another daemon may own it by now: nothing of it may be published.
    LeaseLost,
    /// The daemon stops and hands it back.
    Shutdown,
    /// It ran for longer than it may.
    Timeout(Duration),
}

/// The step was dropped: the job is to stop.
#[derive(Debug)]
pub(super) struct Cancelled;

/// Stops a job. What it runs is boxed: futures within futures would grow larger than a thread's stack.
///
/// The first reason stands, except that a lost lease overrides every other.
#[derive(Debug, Default)]
pub(super) struct JobCancel {
    token: CancellationToken,
    reason: Mutex<Option<CancelReason>>,
}

impl JobCancel {
    /// Asks the job to stop.
    pub(super) fn request(&self, reason: CancelReason) {
        let mut stands = self.lock();
        if stands.is_none() || reason == CancelReason::LeaseLost {
            *stands = Some(reason);
        }
        drop(stands);
        self.token.cancel();
    }

    /// The reason, once there is one.
    pub(super) fn reason(&self) -> Option<CancelReason> {
        *self.lock()
    }

    /// Cancelled as soon as there is a reason.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Runs a step that may be dropped when the job is to stop.
    ///
    /// # Errors
    /// [`Cancelled`] if it was dropped.
    pub(super) async fn or_cancelled<T>(
        &self,
        step: impl Future<Output = T>,
    ) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(Cancelled),
            done = Box::pin(step) => Ok(done),
        }
    }

    /// Runs a job, and asks it to stop for this reason once `due` has ended.
    pub(super) async fn requested_after<T>(
        &self,
        due: impl Future<Output = ()>,
        reason: CancelReason,
        job: impl Future<Output = T>,
    ) -> T {
        let request = async {
            due.await;
            self.request(reason);
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            never = request => match never {},
            ended = Box::pin(job) => ended,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<CancelReason>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stands_but_for_a_lost_lease() {
        let cancel = JobCancel::default();
        assert_eq!(cancel.reason(), None);
        assert!(!cancel.token().is_cancelled());
        cancel.request(CancelReason::Requested);
        cancel.request(CancelReason::Shutdown);
        assert_eq!(cancel.reason(), Some(CancelReason::Requested));
        cancel.request(CancelReason::LeaseLost);
        assert_eq!(cancel.reason(), Some(CancelReason::LeaseLost));
        assert!(cancel.token().is_cancelled());
    }
}

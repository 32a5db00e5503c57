//! Tries a request again, with growing pauses, until it has failed for as long as the storage's deadline.
//!
//! object_store tries again too, but signs only once and counts from when it began: a part that took long to send would
//! never be sent a second time. So uploads go through a client that does not, and are tried again here, each time
//! signed again, the time counted from the first failure.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep};

use super::error::RequestError;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Retry {
    pub(in crate::store) deadline: Duration,
}

impl Retry {
    /// Runs a request that may be repeated. It may be dropped at any point.
    pub(in crate::store) async fn run<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        what: &str,
        mut request: impl FnMut() -> F,
    ) -> object_store::Result<T> {
        let mut tries = self.tries();
        loop {
            match request().await {
                Ok(done) => return Ok(done),
                Err(error) => tries.again(what, error).await?,
            }
        }
    }

    /// The same for a caller who asks by himself.
    pub(in crate::store) fn tries(&self) -> RetryState {
        RetryState {
            deadline: self.deadline,
            failing_since: None,
            pause: FIRST_PAUSE,
        }
    }
}

/// The failures of one request so far.
pub(in crate::store) struct RetryState {
    deadline: Duration,
    failing_since: Option<Instant>,
    pause: Duration,
}

impl RetryState {
    /// Waits until it is time to try again; gives the error back where it will not pass, or has lasted too long.
    pub(in crate::store) async fn again(
        &mut self,
        what: &str,
        error: object_store::Error,
    ) -> object_store::Result<()> {
        let Some(cause) = RequestError::inside(&error).filter(|cause| cause.may_pass()) else {
            return Err(error);
        };
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        // Nobody is asked again before the time that he said.
        let asked = cause.retry_after().unwrap_or_default();
        let wait = self.pause.max(asked.min(self.deadline));
        let wait = wait + wait.mul_f64(rand::rng().random_range(0.0..=0.5));
        if since.elapsed() + wait >= self.deadline {
            return Err(error);
        }
        tracing::info!(error = %cause, "{what}: trying again");
        sleep(wait).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

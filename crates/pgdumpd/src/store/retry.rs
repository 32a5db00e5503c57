//! Tries a request again, with growing pauses, until it has failed for as long as the storage's deadline.
//!
//! object_store tries again too, but signs only once and counts from when it began: a part that took long to send would
//! never be sent a second time. So uploads go through a client that does not, and are tried again here, each time signed
//! anew, the time counted from the first failure.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep};

use super::link_error::LinkError;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) deadline: Duration,
}

impl Retry {
    /// Runs a request that may be repeated. It may be dropped at any point.
    pub(super) async fn run<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        what: &str,
        mut request: impl FnMut() -> F,
    ) -> object_store::Result<T> {
        let mut failing_since = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match request().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if !LinkError::inside(&error).is_some_and(LinkError::may_pass) {
                return Err(error);
            }
            let since = *failing_since.get_or_insert_with(Instant::now);
            // Nobody is asked again before the time that he said.
            let asked = LinkError::inside(&error).and_then(LinkError::retry_after);
            let wait = pause.max(asked.unwrap_or_default());
            let wait = wait + wait.mul_f64(rand::rng().random_range(0.0..=0.5));
            if since.elapsed() + wait >= self.deadline {
                return Err(error);
            }
            if let Some(cause) = LinkError::inside(&error) {
                tracing::info!(error = %cause, "{what}: trying again");
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

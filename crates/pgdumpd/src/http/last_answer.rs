//! What the queue last said for metrics. However many scrape, it is asked at most once in [`FRESH`], and never waited for
//! longer than [`QUEUE_LIMIT`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::queue::{Applications, QueueMetrics};

/// How old an answer of the queue may be.
const FRESH: Duration = Duration::from_secs(5);

/// A scrape has ten seconds by default. A queue that does not answer must not hide what the process counts.
const QUEUE_LIMIT: Duration = Duration::from_secs(4);

/// The last answer of the queue, or that there was none, and since when.
#[derive(Default)]
pub(super) struct LastAnswer(Mutex<Option<(Instant, Option<Arc<QueueMetrics>>)>>);

impl LastAnswer {
    /// Asks the queue, unless that was done a moment ago. Whoever comes meanwhile gets the same answer.
    pub(super) async fn get(&self, applications: &Applications) -> Option<Arc<QueueMetrics>> {
        let mut last = self.0.lock().await;
        if let Some((asked, answer)) = &*last
            && asked.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = match timeout(QUEUE_LIMIT, applications.metrics()).await {
            Ok(Ok(read)) => Some(Arc::new(read)),
            Ok(Err(error)) => {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "the queue cannot be queried for metrics"
                );
                None
            }
            Err(_) => None,
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

//! What the routes need: the queue, and who may ask.

use std::sync::Arc;

use pgdumpd_client::JobStatus;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::access::{Access, Identity};
use super::feed::Feed;
use super::last_answer::LastAnswer;
use super::problem::Problem;
use super::reads::Reads;
use crate::config::HttpConfig;
use crate::metrics::Counters;
use crate::queue::Applications;

/// What stays when the configuration is read again.
pub(super) struct Shared {
    pub(super) applications: Applications,
    pub(super) reads: Reads,
    pub(super) feed: Feed,
    pub(super) counters: Arc<Counters>,
    pub(super) metrics: LastAnswer,
    /// Nobody who asks over HTTP knows it, so nobody can guess which id follows from another's key.
    pub(super) queue_id: Uuid,
    /// Cancelled when the daemon claims no more.
    pub(super) drain: CancellationToken,
}

/// The routes' state under one configuration.
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) access: Access,
    /// One permit for each event stream.
    pub(super) streams: Arc<Semaphore>,
    /// Cancelled when another configuration counts, or the daemon stops.
    pub(super) stop: CancellationToken,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>, config: &HttpConfig, stop: CancellationToken) -> Self {
        Self {
            shared,
            access: Access::new(config),
            streams: Arc::new(Semaphore::new(config.limits.streams)),
            stop,
        }
    }

    /// A job that whoever asks may see; otherwise it is as if there were none.
    pub(super) async fn visible(
        &self,
        identity: &Identity,
        id: Uuid,
    ) -> Result<Arc<JobStatus>, Problem> {
        match self.shared.reads.read(id).await? {
            Some(job) if identity.may_use(&job.target) => Ok(job),
            _ => Err(Problem::unknown_backup(id)),
        }
    }
}

//! What the routes need: the queue, and who may ask.

use std::sync::Arc;

use pgdumpd_client::JobStatus;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::access::{Access, Identity, Targets};
use super::contents::Contents;
use super::feed::Feed;
use super::id::PathId;
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
    pub(super) feed: Feed<Uuid>,
    pub(super) overviews: Feed<Targets>,
    /// What is in a backup, of which the queue knows little.
    pub(super) contents: Arc<dyn Contents>,
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

    /// The job of a path, if whoever asks may see it.
    pub(super) async fn of_path(
        &self,
        identity: &Identity,
        id: &PathId,
    ) -> Result<Arc<JobStatus>, Problem> {
        match id.uuid() {
            Some(id) => self.visible(identity, id).await,
            None => Err(Problem::unknown_backup(id.as_str())),
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

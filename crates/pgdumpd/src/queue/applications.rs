//! What applications ask of the queue, for those that ask through this daemon: the same functions and views, on a few
//! connections of their own, so that nobody who asks can make a backup wait.

use std::time::Duration;

use pgdumpd_client::{
    BackupRequest, Cancelled, Enqueued, JobStatus, KnownTarget, ListFilter, MonitoredJob, cancel,
    enqueue, known_targets, list, monitoring, statuses,
};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use super::connections::{Connections, Question};
use super::error::ApplicationError;
use super::metrics::{self, QueueMetrics};
use super::{Session, SessionKind};
use crate::config::QueueConfig;

/// Whoever asks over HTTP has given up by then.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// For the state of jobs, which is read for all askers together: one statement at a time, and one beside it for streams.
const READING: u32 = 2;

/// For everything else.
const ASKING: u32 = 3;

/// The functions and views for applications. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Applications {
    reading: Connections,
    pub(super) asking: Connections,
}

impl Applications {
    /// Connects when the first question comes.
    pub fn new(config: &QueueConfig) -> Self {
        let open = |connections| {
            let kind = if config.pooled {
                SessionKind::Pooled
            } else {
                SessionKind::Applications(STATEMENT_TIMEOUT)
            };
            let session = Session::new(&config.url, kind);
            let pool = PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(STATEMENT_TIMEOUT)
                .connect_lazy_with(session.build());
            Connections::new(pool, session, config.pooled, STATEMENT_TIMEOUT)
        };
        Self {
            reading: open(READING),
            asking: open(ASKING),
        }
    }

    /// Reads these jobs, with one statement: those that exist, in any order.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn statuses(&self, ids: Vec<Uuid>) -> Result<Vec<JobStatus>, ApplicationError> {
        let read = self.reading.ask(move |connection| {
            Box::pin(async move { statuses(connection, &ids).await }) as Question<'_, _>
        });
        read.await
    }

    /// Enqueues a backup.
    ///
    /// # Errors
    /// See [`ApplicationError`]. To enqueue the same request again is safe.
    pub async fn enqueue(&self, request: BackupRequest) -> Result<Enqueued, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            Box::pin(async move { enqueue(connection, &request).await }) as Question<'_, _>
        });
        asked.await
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// See [`ApplicationError`]. To cancel again is harmless.
    pub async fn cancel(&self, id: Uuid) -> Result<Cancelled, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            Box::pin(async move { cancel(connection, id).await }) as Question<'_, _>
        });
        asked.await
    }

    /// Reads a page of jobs, newest first.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn list(&self, filter: ListFilter) -> Result<Vec<JobStatus>, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            Box::pin(async move { list(connection, &filter).await }) as Question<'_, _>
        });
        asked.await
    }

    /// Reads what is queued or running, of these targets or all.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn monitoring(
        &self,
        targets: Option<Vec<String>>,
        limit: u32,
    ) -> Result<Vec<MonitoredJob>, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            Box::pin(async move { monitoring(connection, targets.as_deref(), limit).await })
                as Question<'_, _>
        });
        asked.await
    }

    /// Reads the targets that can be asked for or have a backup, of these names or all.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn known_targets(
        &self,
        names: Option<Vec<String>>,
    ) -> Result<Vec<KnownTarget>, ApplicationError> {
        let asked = self.asking.ask(move |connection| {
            Box::pin(async move { known_targets(connection, names.as_deref()).await })
                as Question<'_, _>
        });
        asked.await
    }

    /// Reads what the queue knows for monitoring.
    ///
    /// # Errors
    /// See [`ApplicationError`].
    pub async fn metrics(&self) -> Result<QueueMetrics, ApplicationError> {
        let read = self
            .asking
            .ask(|connection| Box::pin(metrics::read(connection)) as Question<'_, _>);
        read.await
    }
}

//! What every step of a job has at hand.

use std::time::Duration;

use super::cancel::{Cancelled, JobCancel};
use super::error::{AttemptError, InStep, Step};
use super::outage::Outage;
use super::progress::reporter::Reporter;
use crate::context::{Catalog, Services};
use crate::fault::Fault;
use crate::queue::{ClaimedJob, QueueError, Work};
use crate::server::Target;
use crate::store::in_time;

/// How long the target may take to say why a program failed: long enough for an address that does not answer.
const EXPLAIN_LIMIT: Duration = Duration::from_secs(20);

/// One attempt of one job, with what serves it.
#[derive(Clone, Copy)]
pub(super) struct JobContext<'a> {
    pub(super) services: &'a Services,
    pub(super) catalog: &'a Catalog,
    pub(super) job: &'a ClaimedJob,
    pub(super) reporter: &'a Reporter,
    pub(super) cancel: &'a JobCancel,
}

impl JobContext<'_> {
    /// Runs something that may be dropped when the job is to stop.
    ///
    /// # Errors
    /// [`Cancelled`] if it was dropped.
    pub(super) async fn or_cancelled<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Cancelled> {
        self.cancel.or_cancelled(work).await
    }

    /// The same of a part of a step.
    ///
    /// # Errors
    /// The fault, in that step; a cancel.
    pub(super) async fn in_step<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, AttemptError> {
        self.or_cancelled(Box::pin(work)).await?.in_step(step)
    }

    /// The same of what a storage must answer within `limit`.
    ///
    /// # Errors
    /// The fault, in that step; a cancel.
    pub(super) async fn in_time<T>(
        &self,
        step: Step,
        limit: Duration,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, AttemptError> {
        self.in_step(step, in_time(limit, Box::pin(work))).await
    }

    /// Asks the target why a program failed; as the program reported it if the job is to stop, or there is no answer in
    /// time.
    pub(super) async fn explain(&self, target: &Target, is_partial: bool, fault: Fault) -> Fault {
        let cause = self.in_explain_limit(target.cause_of(&fault, is_partial));
        cause.await.unwrap_or(fault)
    }

    /// The same of a dump of roles and tablespaces.
    pub(super) async fn explain_globals(&self, target: &Target, fault: Fault) -> Fault {
        let cause = self.in_explain_limit(target.cause_of_globals(&fault));
        cause.await.unwrap_or(fault)
    }

    async fn in_explain_limit(&self, cause: impl Future<Output = Option<Fault>>) -> Option<Fault> {
        let cause = tokio::time::timeout(EXPLAIN_LIMIT, cause);
        self.or_cancelled(cause).await.ok()?.ok()?
    }

    /// The storage that the job stores in, as the configuration calls it.
    pub(super) fn storage_name(&self) -> Option<&str> {
        match &self.job.work {
            Work::Copy(order) => Some(&order.to),
            Work::Backup => {
                let target = self.catalog.targets.get(&self.job.target)?;
                Some(&target.storage)
            }
        }
    }

    /// Asks the queue until it answers. The heartbeat stops the job where that takes too long. `failed` is what the
    /// log says meanwhile.
    ///
    /// # Errors
    /// [`Cancelled`] when the job is to stop.
    pub(super) async fn until_answered<T, Answer: Future<Output = Result<T, QueueError>>>(
        &self,
        failed: &'static str,
        ask: impl Fn() -> Answer,
    ) -> Result<T, Cancelled> {
        let mut outage = Outage::new(failed);
        loop {
            match self.or_cancelled(ask()).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => self.or_cancelled(outage.pause(&error)).await?,
            }
        }
    }
}

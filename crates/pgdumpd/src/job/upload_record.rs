//! Records in the attempt's row where it is about to store, so that a later daemon knows where to clean up.

use super::cancel::CancelReason;
use super::error::AttemptError;
use super::job_context::JobContext;
use crate::store::{ObjectKey, Storage};

/// Notes a key before the first byte is sent, and what the storage calls the upload once it is begun.
pub(super) async fn record_upload(
    context: JobContext<'_>,
    storage: &Storage,
    key: &ObjectKey,
    upload_id: Option<&str>,
) -> Result<(), AttemptError> {
    let JobContext { services, job, .. } = context;
    let (name, id) = (storage.name(), storage.id());
    let recorded = context.until_answered("the queue could not record the upload", || {
        let queue = &services.queue;
        queue.record_upload(&job.lease, name, id, key.as_str(), upload_id)
    });
    if recorded.await? {
        return Ok(());
    }
    context.cancel.request(CancelReason::LeaseLost);
    Err(AttemptError::Cancelled)
}

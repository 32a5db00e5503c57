//! Records in the attempt's row where it is about to store, so that a later daemon knows where to clean up.

use std::time::Duration;

use tracing::warn;

use super::cancel::{CancelReason, JobCancel};
use super::error::AttemptError;
use crate::queue::{Lease, Queue};
use crate::store::{ObjectKey, Storage};

/// Between two tries.
const RETRY: Duration = Duration::from_millis(300);

/// Who stores where.
pub(super) struct UploadRecord<'a> {
    pub(super) queue: &'a Queue,
    pub(super) lease: &'a Lease,
    pub(super) storage: &'a Storage,
    pub(super) cancel: &'a JobCancel,
}

impl UploadRecord<'_> {
    /// Notes a key before the first byte is sent, and what the storage calls the upload once it is begun.
    pub(super) async fn note(
        &self,
        key: &ObjectKey,
        upload_id: Option<&str>,
    ) -> Result<(), AttemptError> {
        let Self { lease, storage, .. } = self;
        loop {
            let (name, id) = (storage.name(), storage.id());
            let noted = self
                .queue
                .note_upload(lease, name, id, key.as_str(), upload_id);
            match self.cancel.or_cancelled(noted).await? {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    self.cancel.request(CancelReason::LeaseLost);
                    return Err(AttemptError::Cancelled);
                }
                // The heartbeat stops the job if this lasts too long.
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "the queue could not record the upload; trying again"
                ),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

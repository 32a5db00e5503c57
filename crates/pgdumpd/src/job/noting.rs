//! Notes in the attempt's row where it is about to store, so that whoever comes later knows where to look.

use std::time::Duration;

use tracing::warn;

use super::halt::{Halt, HaltSwitch};
use super::stop::Stop;
use crate::queue::{Lease, Queue};
use crate::store::{ObjectKey, Storage};

/// Between two tries.
const RETRY: Duration = Duration::from_millis(300);

/// Who stores where.
pub(super) struct Noting<'a> {
    pub(super) queue: &'a Queue,
    pub(super) lease: &'a Lease,
    pub(super) storage: &'a Storage,
    pub(super) switch: &'a HaltSwitch,
}

impl Noting<'_> {
    /// Notes a key before the first byte is sent, and what the storage calls the upload once it is begun.
    pub(super) async fn note(&self, key: &ObjectKey, upload_id: Option<&str>) -> Result<(), Stop> {
        let Self { lease, storage, .. } = self;
        loop {
            let (name, id) = (storage.name(), storage.id());
            let noted = self
                .queue
                .note_upload(lease, name, id, key.as_str(), upload_id);
            let noted = tokio::select! {
                () = self.switch.token().cancelled() => return Err(Stop::Halted),
                noted = noted => noted,
            };
            match noted {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    self.switch.throw(Halt::LeaseLost);
                    return Err(Stop::Halted);
                }
                // The heart throws the switch when this lasts too long.
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "the upload could not be noted; trying again"
                ),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

//! One archive on its way into a storage: not visible until it is committed.

use bytes::Bytes;

use super::StoredObject;
use super::backend::BackendUpload;
use super::key::ObjectKey;
use crate::fault::Fault;

/// An upload in progress. Commit it or abort it; dropped, it is aborted in the background, best effort.
///
/// Memory in flight is bounded by the kind of storage: four of the caller's buffers and one being written for a
/// local one; for an object store the parts under way and the one being collected, `(in flight + 1) × part size`, which
/// is at most its `upload_memory`, but that two parts always have room.
#[derive(Debug)]
pub struct Upload {
    pub(super) key: ObjectKey,
    pub(super) sending: Box<dyn BackendUpload>,
}

impl Upload {
    /// The key that `commit` will make visible.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// What the storage calls this upload, to be recorded before the first part, so that another daemon can remove
    /// what a dead one left; `None` if the key is enough.
    pub fn id(&self) -> Option<&str> {
        self.sending.id()
    }

    /// Takes the next bytes; waits while too much is in flight.
    ///
    /// # Errors
    /// `storage_full`, `storage_denied`, `storage_failed` and the like. After an error, and when the call was
    /// cancelled, only `abort` is left.
    pub async fn write(&mut self, part: Bytes) -> Result<(), Fault> {
        self.sending.write(part).await
    }

    /// Sends what is left and waits until it has arrived, so that `commit` is short. Nothing is visible yet. An object
    /// store's requests have their own limits; a local directory has nothing to wait for before the commit.
    ///
    /// # Errors
    /// As `write`.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        self.sending.flush().await
    }

    /// Makes the object visible under its key, whole and on disk.
    ///
    /// # Errors
    /// As `write`; nothing of the upload is left then. After a cancelled call it is unknown whether the object is
    /// visible: `Storage::remove_partial` cleans it up.
    pub async fn commit(self) -> Result<StoredObject, Fault> {
        let size = self.sending.commit().await?;
        Ok(StoredObject {
            key: self.key,
            size,
        })
    }

    /// Gives up and leaves nothing.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn abort(self) -> Result<(), Fault> {
        self.sending.abort().await
    }
}

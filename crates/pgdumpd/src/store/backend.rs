//! What a local directory and an object store do differently. Everything else about a storage is written once, over
//! this. Keys are names from the storage's root.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::found::{FoundObject, Reach, UnfinishedUpload};
use super::key::ObjectKey;
use super::small::Small;
use super::stall::BytesMoved;
use crate::fault::Fault;
use crate::finding::Finding;

/// A place that holds a storage.
#[async_trait]
pub(super) trait Backend: fmt::Debug + Send + Sync {
    /// Makes sure that the storage with this id is still where the configuration says.
    async fn confirm(&self, id: Uuid) -> Result<(), Fault>;

    /// Everything below a prefix without a slash at its end; the root's is empty. In any order.
    async fn list(&self, prefix: &str, reach: Reach) -> Result<Vec<FoundObject>, Fault>;

    /// The size of an object; `None` if there is none.
    async fn size_of(&self, key: &str) -> Result<Option<u64>, Fault>;

    /// Reads an object of at most this many bytes.
    async fn read_small(&self, key: &str, most: u64) -> Result<Small, Fault>;

    /// Begins to read a part of an object; `object_missing` where there is none.
    async fn read(&self, key: &ObjectKey, range: Range<u64>)
    -> Result<Box<dyn BackendRead>, Fault>;

    /// The SHA-256 of an object of this size, read again; `timeout` is for each answer.
    async fn sha256(&self, key: &ObjectKey, size: u64, timeout: Duration) -> Result<String, Fault>;

    /// Writes a small object, whole or not at all.
    async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), Fault>;

    /// Begins an upload. Nothing is visible under its key until its commit.
    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: Option<u64>,
    ) -> Result<Box<dyn BackendUpload>, Fault>;

    /// Removes one object for good; false if it was certainly not there.
    async fn remove(&self, key: &str) -> Result<bool, Fault>;

    /// The findings that only this kind of place has; `storage` is its name.
    async fn probe(&self, storage: &str) -> Vec<Finding>;

    /// Removes the temporary files of an archive and of what lies beside it.
    async fn remove_temporaries(&self, _key: &ObjectKey) -> Result<(), Fault> {
        Ok(())
    }

    /// Removes the directory of an archive if it is empty.
    async fn remove_directory(&self, _key: &ObjectKey) -> Result<(), Fault> {
        Ok(())
    }

    /// The unfinished uploads whose keys begin so; `None` if they cannot be listed.
    async fn unfinished_uploads(
        &self,
        _prefix: &str,
    ) -> Result<Option<Vec<UnfinishedUpload>>, Fault> {
        Ok(None)
    }

    /// Aborts an upload, or finds it gone.
    async fn abort_upload(&self, _key: &ObjectKey, _upload_id: &str) -> Result<(), Fault> {
        Ok(())
    }

    /// Aborts every upload of a key that can be listed.
    async fn abort_uploads_of(&self, _key: &ObjectKey) -> Result<(), Fault> {
        Ok(())
    }

    /// Bytes that may still be written; `None` where there is no such limit.
    async fn free_space(&self) -> Result<Option<u64>, Fault> {
        Ok(None)
    }

    /// Checks that so many bytes fit, and leave what the configuration reserves.
    async fn ensure_room(&self, _expected_bytes: u64) -> Result<(), Fault> {
        Ok(())
    }

    /// How many bytes were sent there; stays 0 where each write is taken at once.
    fn moved(&self) -> BytesMoved {
        BytesMoved::default()
    }
}

/// A part of an object on its way to the reader.
#[async_trait]
pub(super) trait BackendRead: Send {
    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault>;
}

/// An archive on its way into a storage. [`super::Upload`] says what each call promises.
#[async_trait]
pub(super) trait BackendUpload: fmt::Debug + Send {
    /// What the storage calls it.
    fn id(&self) -> Option<&str> {
        None
    }

    async fn write(&mut self, part: Bytes) -> Result<(), Fault>;

    async fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Returns the object's size.
    async fn commit(self: Box<Self>) -> Result<u64, Fault>;

    async fn abort(self: Box<Self>) -> Result<(), Fault>;
}

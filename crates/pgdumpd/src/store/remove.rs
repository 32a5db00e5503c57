//! What may be taken out of a storage: whole backups, and what unfinished attempts left.

use uuid::Uuid;

use super::Storage;
use super::found::UnfinishedUpload;
use super::key::ObjectKey;
use super::name::Name;
use crate::fault::Fault;

impl Storage {
    /// Removes everything that an unfinished attempt left under its key: temporary files, unfinished uploads, and an
    /// object that has no manifest. Finding nothing is fine. A key that has a manifest, readable or not, is not
    /// touched, unless its object is gone: a write that the server carries out when nobody waits for it any more leaves
    /// such.
    ///
    /// `upload_id` is what [`super::Upload::id`] said. Where the storage lists its uploads, those that nobody knows the
    /// id of go too: an answer that was lost may have begun one.
    ///
    /// # Errors
    /// When something could not be inspected or removed.
    pub async fn remove_partial(
        &self,
        key: &ObjectKey,
        upload_id: Option<&str>,
    ) -> Result<(), Fault> {
        if self.has_manifest(key).await? {
            if !self.speaks_of_nothing(key).await? {
                return Ok(());
            }
            self.backend.remove(&key.manifest()).await?;
        }
        self.backend.remove_temporaries(key).await?;
        if let Some(id) = upload_id {
            self.backend.abort_upload(key, id).await?;
        }
        self.backend.abort_uploads_of(key).await?;
        self.backend.remove(&key.globals()).await?;
        let object_was_there = self.backend.remove(key.as_str()).await?;
        if object_was_there && self.has_manifest(key).await? {
            // The attempt was alive after all, and wrote its manifest in this instant: without an object it
            // would be a lie. (`write_manifest` looks again too; between us, one sees the other.)
            self.backend.remove(&key.manifest()).await?;
        }
        self.backend.remove_directory(key).await
    }

    /// Removes the temporary files of an attempt that is known to be over, and its directory if nothing else is in it.
    /// What is visible stays, a backup or not.
    ///
    /// # Errors
    /// When something could not be inspected or removed.
    pub async fn remove_temporaries(&self, key: &ObjectKey) -> Result<(), Fault> {
        self.backend.remove_temporaries(key).await?;
        self.backend.remove_directory(key).await
    }

    /// Deletes a backup: first its manifest, so that it is not a backup any more, then what it spoke of. Finding part
    /// of it gone is fine, so that a deletion that was interrupted can be repeated: but where the storage itself has
    /// gone meanwhile, nothing is known to be deleted.
    ///
    /// # Errors
    /// When either could not be removed; as [`Storage::confirm`].
    pub async fn delete_backup(&self, key: &ObjectKey) -> Result<(), Fault> {
        self.backend.remove(&key.manifest()).await?;
        self.backend.remove(&key.globals()).await?;
        self.backend.remove(key.as_str()).await?;
        self.backend.remove_directory(key).await?;
        self.confirm().await
    }

    /// Whether this archive has a manifest, readable or not.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn has_manifest(&self, key: &ObjectKey) -> Result<bool, Fault> {
        Ok(self.backend.size_of(&key.manifest()).await?.is_some())
    }

    /// Whether its manifest can be read, and the object is not there.
    async fn speaks_of_nothing(&self, key: &ObjectKey) -> Result<bool, Fault> {
        match self.read_manifest(key).await {
            Ok(Some(_)) => Ok(self.object_size(key).await?.is_none()),
            Ok(None) => Ok(false),
            Err(fault) if fault.code().is_of_a_manifest() => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// The unfinished uploads of one queue; `None` if this storage cannot list them: a local directory has its
    /// temporary files among [`Storage::all_objects`], Google and Azure drop theirs by themselves or by a rule.
    ///
    /// # Errors
    /// The storage's.
    pub async fn unfinished_uploads(
        &self,
        queue_id: Uuid,
    ) -> Result<Option<Vec<UnfinishedUpload>>, Fault> {
        let prefix = format!("{queue_id}/");
        self.backend.unfinished_uploads(&prefix).await
    }

    /// Ends one upload, or finds it gone. What is under its key stays.
    ///
    /// # Errors
    /// The storage's.
    pub async fn abort_upload(&self, key: &ObjectKey, upload_id: &str) -> Result<(), Fault> {
        self.backend.abort_upload(key, upload_id).await
    }

    /// Removes a small file of ours that belongs to no backup; anything else is left alone.
    ///
    /// # Errors
    /// The storage's.
    pub async fn remove_scrap(&self, key: &str) -> Result<(), Fault> {
        if Name::of(key) == Name::Scrap {
            self.backend.remove(key).await?;
        }
        Ok(())
    }
}

//! What may be taken out of a storage: whole backups, and what unfinished attempts left.

use super::key::ObjectKey;
use super::{Place, Storage, blocking, faults, object_path};
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
            self.remove(key.manifest()).await?;
        }
        self.remove_files_in_writing(key).await?;
        if let Place::Remote(remote) = &self.place {
            if let Some(id) = upload_id {
                remote.abort(key, id).await?;
            }
            remote.abort_all_of(key).await?;
        }
        self.remove(key.globals()).await?;
        let object_was_there = self.remove(key.as_str().to_owned()).await?;
        if object_was_there && self.has_manifest(key).await? {
            // The attempt was alive after all, and wrote its manifest in this instant: without an object it
            // would be a lie. (`write_manifest` looks again too; between us, one sees the other.)
            self.remove(key.manifest()).await?;
        }
        self.remove_directory(key).await
    }

    /// Removes the temporary files of an attempt that is known to be over, and its directory if nothing else is in it.
    /// What is visible stays, a backup or not.
    ///
    /// # Errors
    /// When something could not be inspected or removed.
    pub async fn remove_temporaries(&self, key: &ObjectKey) -> Result<(), Fault> {
        self.remove_files_in_writing(key).await?;
        self.remove_directory(key).await
    }

    async fn remove_files_in_writing(&self, key: &ObjectKey) -> Result<(), Fault> {
        let Place::Local { root, .. } = &self.place else {
            return Ok(());
        };
        let (root, key) = (root.clone(), key.clone());
        blocking(move || {
            let what = || {
                format!(
                    "cannot remove what is left of {}",
                    root.join(key.as_str()).display()
                )
            };
            root.remove_temporaries(key.as_str())
                .and_then(|()| root.remove_temporaries(&key.globals()))
                .and_then(|()| root.remove_temporaries(&key.manifest()))
                .map_err(|e| faults::of_io(what(), root.path(), e))
        })
        .await
    }

    /// Deletes a backup: first its manifest, so that it is not a backup any more, then what it spoke of. Finding part
    /// of it gone is fine, so that a deletion that was interrupted can be repeated: but where the storage itself has
    /// gone meanwhile, nothing is known to be deleted.
    ///
    /// # Errors
    /// When either could not be removed; as [`Storage::confirm`].
    pub async fn delete_backup(&self, key: &ObjectKey) -> Result<(), Fault> {
        self.remove(key.manifest()).await?;
        self.remove(key.globals()).await?;
        self.remove(key.as_str().to_owned()).await?;
        self.remove_directory(key).await?;
        self.confirm().await
    }

    /// Whether this archive has a manifest, readable or not.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn has_manifest(&self, key: &ObjectKey) -> Result<bool, Fault> {
        Ok(self.size_of(&key.manifest()).await?.is_some())
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

    /// Removes one object for good; false if it was not there (always true for a remote store, which does not report
    /// it).
    pub(super) async fn remove(&self, key: String) -> Result<bool, Fault> {
        match &self.place {
            Place::Local { root, .. } => {
                let root = root.clone();
                blocking(move || {
                    let what = || format!("cannot remove {}", root.join(&key).display());
                    root.remove(&key)
                        .map_err(|e| faults::of_io(what(), root.path(), e))
                })
                .await
            }
            Place::Remote(remote) => {
                remote.delete(&object_path(&key)?).await?;
                Ok(true)
            }
        }
    }

    async fn remove_directory(&self, key: &ObjectKey) -> Result<(), Fault> {
        let Place::Local { root, .. } = &self.place else {
            return Ok(());
        };
        let (root, key) = (root.clone(), key.clone());
        blocking(move || {
            let what = || {
                format!(
                    "cannot remove the directory of {}",
                    root.join(key.as_str()).display()
                )
            };
            root.remove_empty_directory(key.as_str())
                .map_err(|e| faults::of_io(what(), root.path(), e))
        })
        .await
    }
}

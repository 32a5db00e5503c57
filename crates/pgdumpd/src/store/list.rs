//! Everything that is in a storage, whatever it is.

use futures_util::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStore as _};

use super::found::{FoundObject, Reach};
use super::key::ObjectKey;
use super::name::{Name, PartKind};
use super::remote::Remote;
use super::{Place, Storage, blocking, faults, local, object_path, remote};
use crate::fault::Fault;

impl Storage {
    /// Lists everything below a prefix that ends at a slash; temporary files, too.
    ///
    /// # Errors
    /// The storage's.
    pub async fn all_objects(&self, prefix: Option<&str>) -> Result<Vec<FoundObject>, Fault> {
        self.objects_below(prefix, Reach::All).await
    }

    /// The archives whose manifests are below a prefix that ends at a slash, or anywhere below a queue's id, each with
    /// its manifest's size.
    pub(super) async fn archives_below(
        &self,
        prefix: Option<&str>,
    ) -> Result<Vec<(ObjectKey, u64)>, Fault> {
        let objects = self.objects_below(prefix, Reach::Queues).await?;
        let archive = |object: FoundObject| match Name::of(&object.key) {
            Name::Part(part) if part.kind == PartKind::Manifest && !part.temporary => {
                Some((part.archive, object.size_bytes))
            }
            _ => None,
        };
        Ok(objects.into_iter().filter_map(archive).collect())
    }

    async fn objects_below(
        &self,
        prefix: Option<&str>,
        reach: Reach,
    ) -> Result<Vec<FoundObject>, Fault> {
        let prefix = prefix.unwrap_or_default().trim_end_matches('/');
        let mut found = match &self.place {
            Place::Local { root, .. } => {
                let (root, prefix) = (root.clone(), prefix.to_owned());
                blocking(move || {
                    let what = || format!("cannot list {}", root.path().display());
                    root.walk(&prefix, reach)
                        .map_err(|e| faults::of_io(what(), root.path(), e))
                })
                .await?
            }
            Place::Remote(remote) => self.list_remote(remote, prefix).await?,
        };
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// A list that breaks is made again: object_store does so for its beginning alone.
    async fn list_remote(&self, remote: &Remote, prefix: &str) -> Result<Vec<FoundObject>, Fault> {
        let prefix = match prefix {
            "" => None,
            prefix => Some(object_path(prefix)?),
        };
        let list = || remote.objects.list(prefix.as_ref()).try_collect();
        let what = || format!("cannot list storage \"{}\"", self.name);
        let listed: Vec<ObjectMeta> = remote
            .retry
            .run("list", list)
            .await
            .map_err(|e| faults::of_object_store(what(), e))?;
        Ok(listed.into_iter().map(FoundObject::from).collect())
    }

    /// What is in the root itself, without what is in directories.
    pub(super) async fn objects_in_root(&self) -> Result<Vec<FoundObject>, Fault> {
        match &self.place {
            Place::Local { root, .. } => {
                let root = root.clone();
                blocking(move || {
                    let what = || format!("cannot list {}", root.path().display());
                    root.walk("", Reach::Root)
                        .map_err(|e| faults::of_io(what(), root.path(), e))
                })
                .await
            }
            Place::Remote(remote) => {
                let what = || format!("cannot list storage \"{}\"", self.name);
                let listed = remote.objects.list_with_delimiter(None).await;
                let listed = listed.map_err(|e| faults::of_object_store(what(), e))?;
                Ok(listed.objects.into_iter().map(FoundObject::from).collect())
            }
        }
    }

    /// Makes sure that the storage is still there, under its path or url, and still the same: an empty mount point
    /// holds nothing, and proves nothing gone. The marker is read now, through the path that the configuration names.
    ///
    /// # Errors
    /// A transient `storage_missing` or `storage_replaced`; else as [`Storage::open_existing`], of a local directory
    /// transient as well.
    pub async fn confirm(&self) -> Result<(), Fault> {
        match &self.place {
            Place::Local { root, .. } => {
                let (root, id) = (root.clone(), self.id);
                blocking(move || local::marker::confirm(&root, id)).await
            }
            Place::Remote(remote) if remote.is_marked => {
                remote::marker::expect(remote, &[self.id]).await.map(drop)
            }
            Place::Remote(_) => Ok(()),
        }
    }

    /// Removes a small file of ours that belongs to no backup; anything else is left alone.
    ///
    /// # Errors
    /// The storage's.
    pub async fn remove_scrap(&self, key: &str) -> Result<(), Fault> {
        if Name::of(key) == Name::Scrap {
            self.remove(key.to_owned()).await?;
        }
        Ok(())
    }
}

//! Everything that is in a storage, whatever it is.

use super::Storage;
use super::found::{FoundObject, Reach};
use super::key::ObjectKey;
use super::name::{Name, PartKind};
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
        let mut found = self.backend.list(prefix, reach).await?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Makes sure that the storage is still there, under its path or url, and still the same: an empty mount point
    /// holds nothing, and proves nothing gone. The marker is read now, through the path that the configuration names.
    ///
    /// # Errors
    /// A transient `storage_missing` or `storage_replaced`; else as [`Storage::open_existing`], of a local directory
    /// transient as well.
    pub async fn confirm(&self) -> Result<(), Fault> {
        self.backend.confirm(self.id).await
    }
}

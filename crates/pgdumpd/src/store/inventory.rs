//! Everything that lies in a storage, whatever it is.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStore as _};
use walkdir::{DirEntry, WalkDir};

use super::name::Name;
use super::{Place, Storage, blocking, faults, marker, object_path, remote_marker};
use crate::fault::Fault;

/// One object, or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundObject {
    /// Its name from the storage's root.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last written, by the storage's clock.
    pub modified_at: DateTime<Utc>,
}

impl Storage {
    /// Lists everything below a prefix that ends at a slash; temporary files, too, which other listings hide.
    ///
    /// # Errors
    /// The storage's.
    pub async fn all_objects(&self, prefix: Option<&str>) -> Result<Vec<FoundObject>, Fault> {
        let prefix = prefix.map(|prefix| prefix.trim_end_matches('/').to_owned());
        let mut found = match &self.place {
            Place::Local { root, .. } => {
                let root = root.clone();
                blocking(move || {
                    let what = || format!("cannot list {}", root.path().display());
                    walk(root.path(), &prefix.unwrap_or_default())
                        .map_err(|e| faults::of_io(what(), root.path(), e))
                })
                .await?
            }
            Place::Remote(_) => {
                let prefix = prefix.as_deref().map(object_path).transpose()?;
                let listed = self.objects_below(prefix.as_ref()).await?;
                let found = listed.into_iter().map(|object| FoundObject {
                    key: object.location.to_string(),
                    size_bytes: object.size,
                    modified_at: object.last_modified,
                });
                found.collect()
            }
        };
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Everything visible below a prefix. A list that breaks is made again: object_store does so for its beginning alone.
    pub(super) async fn objects_below(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> Result<Vec<ObjectMeta>, Fault> {
        let list = || self.objects.list(prefix).try_collect();
        let listed = match &self.place {
            Place::Local { .. } => list().await,
            Place::Remote(remote) => remote.retry.run("list", list).await,
        };
        let what = || format!("cannot list storage \"{}\"", self.name);
        listed.map_err(|e| faults::of_object_store(what(), e))
    }

    /// Makes sure that the storage is still there, and still the same: an empty mount point holds nothing, and proves
    /// nothing gone.
    ///
    /// # Errors
    /// As [`Storage::open_existing`].
    pub async fn confirm(&self) -> Result<(), Fault> {
        match &self.place {
            Place::Local { root, .. } => {
                let (root, id) = (root.clone(), self.id);
                blocking(move || marker::expect(&root, Some(id)).map(drop)).await
            }
            Place::Remote(remote) => remote_marker::expect(remote, Some(self.id)).await.map(drop),
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

/// What a fresh file system has of its own, which only root may enter.
const NOT_OURS_TO_READ: &str = "lost+found";

/// Follows links, as object_store's own listings do, and goes round in no circles. What goes while it is looked at is
/// left out.
fn walk(root: &Path, below: &str) -> io::Result<Vec<FoundObject>> {
    let begin = root.join(below);
    // Without it everything would seem to be gone.
    if !root.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut found = Vec::new();
    let entries = WalkDir::new(&begin).follow_links(true).into_iter();
    for entry in entries.filter_entry(|e| e.depth() != 1 || e.file_name() != NOT_OURS_TO_READ) {
        let seen = match entry {
            Ok(entry) => look(root, &entry),
            Err(error) if error.loop_ancestor().is_some() => Ok(None),
            Err(error) => Err(error.into()),
        };
        match seen {
            Ok(object) => found.extend(object),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn look(root: &Path, entry: &DirEntry) -> io::Result<Option<FoundObject>> {
    if entry.file_type().is_dir() {
        return Ok(None);
    }
    let about = entry.metadata()?;
    let key = entry.path().strip_prefix(root).unwrap_or(entry.path());
    Ok(Some(FoundObject {
        key: key.to_string_lossy().into_owned(),
        size_bytes: about.len(),
        modified_at: about.modified()?.into(),
    }))
}

//! Everything that lies in a storage, whatever it is.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;

use super::name::Name;
use super::{Place, Storage, blocking, faults, object_path};
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

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnfinishedUpload {
    /// The key that it would become.
    pub key: String,
    /// What the storage calls it.
    pub upload_id: String,
    /// When it was begun, by the storage's clock.
    pub started_at: DateTime<Utc>,
}

impl Storage {
    /// The unfinished uploads of one queue; none where this storage cannot list them.
    ///
    /// # Errors
    /// The storage's.
    pub async fn unfinished_uploads(
        &self,
        _queue_id: uuid::Uuid,
    ) -> Result<Option<Vec<UnfinishedUpload>>, Fault> {
        Ok(None)
    }

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
                    let mut found = Vec::new();
                    let from = prefix.unwrap_or_default();
                    walk(root.path(), &from, &mut found)
                        .map_err(|e| faults::of_io(what(), root.path(), e))?;
                    Ok(found)
                })
                .await?
            }
            Place::Remote => {
                let what = || format!("cannot list storage \"{}\"", self.name);
                let prefix = prefix.as_deref().map(object_path).transpose()?;
                let listed = self.objects.list(prefix.as_ref());
                let found = listed.map_ok(|object| FoundObject {
                    key: object.location.to_string(),
                    size_bytes: object.size,
                    modified_at: object.last_modified,
                });
                let found = found.try_collect::<Vec<_>>().await;
                found.map_err(|e| faults::of_object_store(what(), e))?
            }
        };
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
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

/// Follows no links; what goes while it is looked at is left out.
fn walk(root: &Path, below: &str, found: &mut Vec<FoundObject>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(below)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !below.is_empty() => {
            return Ok(());
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let key = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let about = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() {
            // A file system's own, which only root may enter.
            if key != "lost+found" {
                walk(root, &key, found)?;
            }
        } else {
            let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(FoundObject {
                key,
                size_bytes: about.len(),
                modified_at: modified.into(),
            });
        }
    }
    Ok(())
}

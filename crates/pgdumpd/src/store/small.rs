//! Small objects, and what can be said of any object without reading it.

use bytes::Bytes;
use object_store::ObjectStoreExt as _;

use super::local::read::Entry;
use super::{Place, Storage, blocking, faults, object_path};
use crate::fault::Fault;

/// What a small object turned out to be.
#[derive(Debug)]
pub(super) enum Small {
    /// Its content, as it is stored in the storage now.
    Whole(Bytes),
    /// It has more bytes than it may have.
    TooLarge,
    /// Something that is not a regular file is in its place.
    NotAFile,
    /// There is none.
    Missing,
}

impl Storage {
    /// Reads an object of at most this many bytes.
    pub(super) async fn read_small(&self, key: &str, most: u64) -> Result<Small, Fault> {
        match &self.place {
            Place::Local { root, .. } => {
                let (root, key) = (root.clone(), key.to_owned());
                blocking(move || {
                    let what = || format!("cannot read {}", root.join(&key).display());
                    let read = root.read(&key, most);
                    Ok(
                        match read.map_err(|e| faults::of_io(what(), root.path(), e))? {
                            Entry::File(None) => Small::TooLarge,
                            Entry::File(Some(content)) => Small::Whole(content.into()),
                            Entry::Special => Small::NotAFile,
                            Entry::None => Small::Missing,
                        },
                    )
                })
                .await
            }
            Place::Remote(remote) => {
                let cannot = |e| faults::of_object_store(format!("cannot read {key}"), e);
                let found = match remote.objects.get(&object_path(key)?).await {
                    Ok(found) => found,
                    Err(object_store::Error::NotFound { .. }) => return Ok(Small::Missing),
                    Err(error) => return Err(cannot(error)),
                };
                if found.meta.size > most {
                    return Ok(Small::TooLarge);
                }
                found.bytes().await.map(Small::Whole).map_err(cannot)
            }
        }
    }

    /// The size of an object; `None` if there is none.
    pub(super) async fn size_of(&self, key: &str) -> Result<Option<u64>, Fault> {
        match &self.place {
            Place::Local { root, .. } => {
                let (root, key) = (root.clone(), key.to_owned());
                blocking(move || {
                    let what = || format!("cannot inspect {}", root.join(&key).display());
                    root.size_of(&key)
                        .map_err(|e| faults::of_io(what(), root.path(), e))
                })
                .await
            }
            Place::Remote(remote) => {
                let found = remote.size_of(&object_path(key)?).await;
                found.map_err(|e| faults::of_object_store(format!("cannot inspect {key}"), e))
            }
        }
    }
}

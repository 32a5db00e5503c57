//! A stored backup, found by its id and read again: verified, fetched whole, fetched in part.

mod globals;
mod inspection;
mod new_file;
mod tables;
mod verify;
mod whole;

pub use self::globals::fetch_globals;
pub(crate) use self::inspection::name_of;
pub use self::inspection::{Damage, Inspection, Verdict};
pub use self::tables::{Fetched, fetch_tables};
pub use self::verify::verify;
pub use self::whole::fetch_whole;

use pgdump_archive::{Compression, Index};
use uuid::Uuid;

use crate::fault::Fault;
use crate::store::{Manifest, ObjectKey, Storage};

/// A backup with what its manifest says of it.
#[derive(Debug)]
pub struct Stored {
    /// Where it lies.
    pub storage: Storage,
    /// What it is.
    pub manifest: Manifest,
    /// Where its tables lie; none where the manifest does not say.
    pub index: Option<Index>,
}

impl Stored {
    /// The backup whose archive lies under this key; none if there is no manifest.
    ///
    /// # Errors
    /// The storage's, and `manifest_invalid` or `manifest_newer`.
    pub async fn open(storage: Storage, key: &ObjectKey) -> Result<Option<Self>, Fault> {
        let found = storage.read_manifest_with_index(key).await?;
        Ok(found.map(|(manifest, index)| Self {
            storage,
            manifest,
            index,
        }))
    }

    /// The newest backup of this id that the storage holds.
    ///
    /// # Errors
    /// As [`Stored::open`], and when the storage cannot be listed.
    pub async fn search(storage: Storage, backup_id: Uuid) -> Result<Option<Self>, Fault> {
        let listed = storage.list().await?;
        let mut manifests = listed.into_iter().filter_map(|listed| listed.manifest.ok());
        match manifests.find(|manifest| manifest.backup_id == backup_id) {
            Some(manifest) => Self::open(storage, &manifest.object.key).await,
            None => Ok(None),
        }
    }

    /// Whether what was read is whole and what the manifest says.
    pub fn matches(&self, verdict: &Verdict) -> bool {
        let wanted = &self.manifest.object;
        verdict.damaged.is_empty()
            && verdict.sha256 == wanted.sha256
            && verdict.size_bytes == wanted.size_bytes
    }

    /// How its data is compressed. Not taken from the archive, whose head may be damaged.
    fn compression(&self) -> Result<Compression, Fault> {
        let text = &self.manifest.archive.compression;
        match text.split(':').next() {
            Some("none") => Ok(Compression::None),
            Some("gzip") => Ok(Compression::Gzip),
            Some("lz4") => Ok(Compression::Lz4),
            Some("zstd") => Ok(Compression::Zstd),
            _ => Err(Fault::permanent(
                "manifest_invalid",
                format!(
                    "{} names no known compression: \"{text}\"",
                    self.manifest.object.key.manifest()
                ),
            )),
        }
    }
}

//! A stored backup, found by its id and read again: verified, fetched whole, fetched in part.

mod archive_reader;
mod block;
mod ciphertext;
mod contents;
mod globals;
mod inspection;
mod name;
mod new_file;
mod output;
mod record;
mod row;
mod source;
mod tables;
mod verify;
mod whole;

pub use self::globals::{fetch_globals, read_globals};
pub use self::inspection::{Damage, Inspection, Verdict};
pub(crate) use self::name::name_of;
pub use self::output::Destination;
pub use self::record::record_backup;
pub use self::row::compare_with_row;
pub use self::source::Source;
pub use self::tables::{Fetched, fetch_tables};
pub use self::verify::verify;
pub use self::whole::{FetchedWhole, fetch_as_it_lies, fetch_whole};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use pgdump_archive::{Compression, Index};
use uuid::Uuid;

use crate::code::Code;
use crate::encryption::Identities;
use crate::fault::Fault;
use crate::store::{Manifest, ObjectKey, Storage};

/// A backup with what its manifest says of it.
#[derive(Debug)]
pub struct Stored {
    /// Where it is.
    pub storage: Storage,
    /// What it is.
    pub manifest: Manifest,
    /// Where its tables are; `None` if the manifest does not say.
    pub index: Option<Index>,
    /// Why the index that the manifest has is of no use.
    pub index_damage: Option<Fault>,
    identities: Option<Arc<Identities>>,
    bytes_read: AtomicU64,
}

impl Stored {
    /// The backup whose archive is under this key; `None` if there is no manifest.
    ///
    /// # Errors
    /// The storage's, and `manifest_invalid` or `manifest_newer`.
    pub async fn open(storage: Storage, key: &ObjectKey) -> Result<Option<Self>, Fault> {
        let found = storage.read_manifest_with_index(key).await?;
        Ok(found.map(|(manifest, index)| {
            let mut stored = Self {
                storage,
                manifest,
                index: None,
                index_damage: None,
                identities: None,
                bytes_read: AtomicU64::new(0),
            };
            stored.know(index);
            stored
        }))
    }

    fn know(&mut self, index: Result<Option<Index>, Fault>) {
        match index {
            Ok(index) => self.index = index,
            Err(fault) => self.index_damage = Some(fault),
        }
    }

    /// Lets an encrypted backup be read. Opens a sealed manifest at once; whether the identities open the archive,
    /// too, is seen when it is read.
    ///
    /// # Errors
    /// `identity_mismatch` and `manifest_invalid` of a sealed manifest.
    pub fn unlock(&mut self, identities: Arc<Identities>) -> Result<(), Fault> {
        if self.manifest.is_sealed() {
            let index = self.manifest.unseal(&identities)?;
            self.know(index);
        }
        self.identities = Some(identities);
        Ok(())
    }

    /// How much of a whole archive has been read, for a bar.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Whether it is encrypted and no identity was given.
    pub fn is_locked(&self) -> bool {
        self.manifest.encryption.is_some() && self.identities.is_none()
    }

    /// What decrypts it; `None` if it is not encrypted.
    fn needed_identities(&self) -> Result<Option<Arc<Identities>>, Fault> {
        let Some(encryption) = &self.manifest.encryption else {
            return Ok(None);
        };
        if encryption.format != "age" {
            let what = format!(
                "the backup is encrypted in the format \"{}\"",
                encryption.format
            );
            return Err(Fault::permanent(Code::ManifestNewer, what)
                .hint("This pgdumpd knows \"age\": use a newer one."));
        }
        let needed = || {
            Fault::permanent(Code::IdentityNeeded, "the backup is encrypted").hint(
                "Give the file with the secret key by --identity FILE, or fetch it as it is stored with `pgdumpd fetch --encrypted`.",
            )
        };
        self.identities.clone().ok_or_else(needed).map(Some)
    }

    /// The newest backup of this id that the storage holds and that can be read, and why others cannot be: one of them
    /// may be newer.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn search(
        storage: Storage,
        backup_id: Uuid,
    ) -> Result<(Option<Self>, Vec<Fault>), Fault> {
        let (mut newest, mut faults): (Option<Self>, _) = (None, Vec::new());
        for key in storage.keys_of(backup_id).await? {
            match Self::open(storage.clone(), &key).await {
                Ok(Some(found)) => {
                    if newest
                        .as_ref()
                        .is_none_or(|newest| newest.age() < found.age())
                    {
                        newest = Some(found);
                    }
                }
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
        Ok((newest, faults))
    }

    /// In the order of the queue, whose clock older manifests do not say; then in that of the daemons' clocks.
    fn age(&self) -> (Option<DateTime<Utc>>, DateTime<Utc>) {
        (self.manifest.claimed_at, self.manifest.started_at)
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
                Code::ManifestInvalid,
                format!(
                    "{} names an unknown compression: \"{text}\"",
                    self.manifest.object.key.manifest()
                ),
            )),
        }
    }
}

//! What a storage holds, read without the queue.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use pgdump_archive::Index;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Storage;
use super::key::ObjectKey;
use super::manifest::{Manifest, invalid, text as manifest_text};
use super::small::Small;
use super::stall::in_time;
use crate::code::Code;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;

/// Manifests read at once: hides a remote store's round trips.
const MANIFESTS_AT_ONCE: usize = 16;
/// What they may take in memory together, in KiB, however many are read: one of the largest, or many usual ones.
const MANIFESTS_KIB: u32 = 256 << 10;

/// One manifest found in a storage.
#[derive(Debug)]
pub struct Listed {
    /// The archive's key, from where the manifest is.
    pub key: ObjectKey,
    /// Its content, or why it cannot be read.
    pub manifest: Result<Manifest, Fault>,
}

impl Storage {
    /// Reads the manifest of an archive; `None` if there is none, so that there is no such backup.
    ///
    /// # Errors
    /// `manifest_invalid`, `manifest_newer`, and the storage's own.
    pub async fn read_manifest(&self, key: &ObjectKey) -> Result<Option<Manifest>, Fault> {
        let text = self.manifest_text(key).await?;
        let Some(text) = text else {
            return Ok(None);
        };
        self.parsed(key, text, |manifest, _| Ok(manifest))
            .await
            .map(Some)
    }

    /// The same, with the index that it carries, or why that is of no use: the archive may be whole all the same.
    ///
    /// # Errors
    /// As [`Storage::read_manifest`].
    pub async fn read_manifest_with_index(
        &self,
        key: &ObjectKey,
    ) -> Result<Option<(Manifest, Result<Option<Index>, Fault>)>, Fault> {
        let Some(text) = self.manifest_text(key).await? else {
            return Ok(None);
        };
        let parsed = self.parsed(key, text, |manifest, text| {
            let index = manifest.parse_index(text);
            Ok((manifest, index))
        });
        parsed.await.map(Some)
    }

    /// The same, for whoever will write it again beside a copy. What this build does not know would be lost then, and
    /// may name an object that would not be copied. So would an index that cannot be read: the copy would say nothing
    /// of that damage, and pass for better than the original.
    ///
    /// # Errors
    /// As [`Storage::read_manifest`], also for an index that is of no use; a transient `manifest_newer` where it says
    /// anything that this build does not know.
    pub async fn read_manifest_to_copy(
        &self,
        key: &ObjectKey,
    ) -> Result<Option<(Manifest, Option<Index>)>, Fault> {
        let Some(text) = self.manifest_text(key).await? else {
            return Ok(None);
        };
        let parsed = self.parsed(key, text, |manifest, text| {
            manifest.expect_known(text)?;
            let index = manifest.parse_index(text)?;
            Ok((manifest, index))
        });
        parsed.await.map(Some)
    }

    /// What `make` makes of a manifest. Hashing and parsing up to 64 MiB is work for a thread of its own.
    ///
    /// # Errors
    /// As [`Manifest::parse`]; `manifest_invalid` for the manifest of a backup that was dumped to another storage;
    /// `make`'s.
    async fn parsed<T: Send + 'static>(
        &self,
        key: &ObjectKey,
        text: Bytes,
        make: impl FnOnce(Manifest, &[u8]) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (key, id) = (key.clone(), self.id);
        off_runtime("reads the manifest", move || {
            let manifest = Manifest::parse(&key, &text)?;
            if manifest.copied.is_none() && manifest.storage_id != id {
                return Err(invalid(&key, "is of a backup in another storage"));
            }
            make(manifest, &text)
        })
        .await?
    }

    async fn manifest_text(&self, key: &ObjectKey) -> Result<Option<Bytes>, Fault> {
        let what = match self
            .backend
            .read_small(&key.manifest(), manifest_text::LARGEST)
            .await?
        {
            Small::Whole(text) => return Ok(Some(text)),
            Small::Missing => return Ok(None),
            Small::TooLarge => "is too large",
            Small::NotAFile => "is not a regular file",
        };
        Err(invalid(key, what))
    }

    /// Every manifest in the storage, newest start first, unreadable ones at the end with the reason.
    ///
    /// Temporary files and archives without a manifest are not backups and are not shown.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn list(&self) -> Result<Vec<Listed>, Fault> {
        self.list_below(None).await
    }

    /// The same for one target of one queue.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn list_target(&self, queue_id: Uuid, target: &str) -> Result<Vec<Listed>, Fault> {
        let prefix = ObjectKey::prefix(queue_id, target);
        self.list_below(Some(&prefix)).await
    }

    async fn list_below(&self, prefix: Option<&str>) -> Result<Vec<Listed>, Fault> {
        let found = self.archives_below(prefix).await?;
        let mut listed = self.read_all(found, Depth::Fields).await;
        listed.sort_by(|a, b| {
            let started = |l: &Listed| l.manifest.as_ref().ok().map(|m| m.started_at);
            started(b).cmp(&started(a)).then_with(|| a.key.cmp(&b.key))
        });
        Ok(listed)
    }

    /// The manifests beside these archives, each with its own size, in no order; one with an unusable index counts as
    /// unreadable. Those that are gone are left out.
    pub async fn read_manifests(&self, found: Vec<(ObjectKey, u64)>) -> Vec<Listed> {
        self.read_all(found, Depth::Index).await
    }

    async fn read_all(&self, found: Vec<(ObjectKey, u64)>, depth: Depth) -> Vec<Listed> {
        let memory = Semaphore::new(MANIFESTS_KIB as usize);
        let read = stream::iter(found).map(async |(key, size)| {
            // Never closed.
            let _held = memory.acquire_many(depth.memory_kib(size)).await;
            let manifest = self.read_to(depth, &key).await.transpose()?;
            let manifest = manifest.map(Manifest::without_sealed_part);
            Some(Listed { key, manifest })
        });
        let read = read.buffer_unordered(MANIFESTS_AT_ONCE);
        read.filter_map(std::future::ready).collect().await
    }

    async fn read_to(&self, depth: Depth, key: &ObjectKey) -> Result<Option<Manifest>, Fault> {
        match depth {
            Depth::Fields => self.read_manifest(key).await,
            Depth::Index => match self.read_manifest_with_index(key).await? {
                Some((manifest, index)) => index.map(|_| Some(manifest)),
                None => Ok(None),
            },
        }
    }

    /// The keys of every backup of one job that the storage holds: one, but where an attempt's backup did not check
    /// out and the next one stored its own. Reads no manifest.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn keys_of(&self, job: Uuid) -> Result<Vec<ObjectKey>, Fault> {
        self.keys_below(None, job).await
    }

    /// The same of one target of one queue, without the rest of the storage.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn keys_of_target(
        &self,
        queue_id: Uuid,
        target: &str,
        job: Uuid,
    ) -> Result<Vec<ObjectKey>, Fault> {
        let prefix = ObjectKey::prefix(queue_id, target);
        self.keys_below(Some(&prefix), job).await
    }

    async fn keys_below(&self, prefix: Option<&str>, job: Uuid) -> Result<Vec<ObjectKey>, Fault> {
        let found = self.archives_below(prefix).await?;
        let keys = found.into_iter().map(|(key, _)| key);
        let mut keys: Vec<_> = keys.filter(|key| key.is_of(job)).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// The backup of an earlier attempt, if it is valid: its manifest is readable, and its object has that size
    /// and, read again, that SHA-256. Reads the whole object; `timeout` is for each answer of the storage, however
    /// long the whole takes. May be dropped at any point: the reading ends then, too.
    ///
    /// # Errors
    /// When the storage fails, or does not answer in time. A backup that is not valid is `None`, and is logged.
    pub async fn find_backup(
        &self,
        key: &ObjectKey,
        timeout: Duration,
    ) -> Result<Option<Manifest>, Fault> {
        let manifest = match in_time(timeout, self.read_manifest(key)).await {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(None),
            Err(fault) if fault.code().is_of_a_manifest() => {
                tracing::warn!(object.key = %key, error = %fault.report(), "a manifest cannot be used");
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        match in_time(timeout, self.expect_object(&manifest)).await {
            Ok(()) => {}
            Err(fault) if fault.code() == Code::ObjectMissing => {
                tracing::warn!(object.key = %key, error = %fault.report(), "a manifest has no object");
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        }
        let object = &manifest.object;
        let sha256 = self.backend.sha256(&object.key, object.size_bytes, timeout);
        let sha256 = sha256.await?;
        if sha256 != object.sha256 {
            tracing::warn!(object.key = %key, sha256, "an object is not what its manifest says");
            return Ok(None);
        }
        Ok(Some(manifest))
    }

    /// Whether the manifest's object is there, with its size. Does not read it.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn has_object(&self, manifest: &Manifest) -> Result<bool, Fault> {
        match self.expect_object(manifest).await {
            Ok(()) => Ok(true),
            Err(fault) if fault.code() == Code::ObjectMissing => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// The same as a fault.
    pub(super) async fn expect_object(&self, manifest: &Manifest) -> Result<(), Fault> {
        let key = &manifest.object.key;
        let wanted = manifest.object.size_bytes;
        match self.object_size(key).await? {
            Some(size) if size == wanted => Ok(()),
            Some(size) => Err(Fault::transient(
                Code::ObjectMissing,
                format!("{key} has {size} bytes, not {wanted}"),
            )),
            None => Err(Fault::transient(
                Code::ObjectMissing,
                format!("{key} is missing"),
            )),
        }
    }
}

/// How much of a manifest is made of its text.
#[derive(Debug, Clone, Copy)]
enum Depth {
    /// The index is passed over.
    Fields,
    Index,
}

impl Depth {
    /// What reading a manifest of this size takes while it is read: the text, its sealed part once more, and an index,
    /// which takes no more than its JSON twice.
    fn memory_kib(self, size: u64) -> u32 {
        let times = match self {
            Self::Fields => 2,
            Self::Index => 4,
        };
        // What is larger is not read.
        let kib = size.min(manifest_text::LARGEST).div_ceil(1024) * times;
        u32::try_from(kib).map_or(MANIFESTS_KIB, |kib| kib.min(MANIFESTS_KIB))
    }
}

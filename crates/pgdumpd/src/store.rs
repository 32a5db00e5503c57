//! Where backups are kept. A backup exists if and only if its manifest exists: an archive is uploaded under a
//! name of its own, made visible whole, and then its manifest is written, last.
//!
//! A storage knows nothing of queue, dump or pipeline. Object stores are reached through [`object_store::ObjectStore`];
//! a local directory is held open by its descriptor, for the reasons in `local/directory.rs` and `local/upload.rs`.

mod backend;
mod faults;
mod found;
mod globals;
mod key;
mod list;
mod local;
mod manifest;
mod marker;
mod name;
mod probe;
mod range;
mod read;
mod remote;
mod remove;
mod room;
mod small;
mod stall;
mod upload;

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use pgdump_archive::Index;
use uuid::Uuid;

pub use self::found::{FoundObject, UnfinishedUpload};
pub use self::key::{InvalidKey, ObjectKey};
pub use self::manifest::comparison::Counts;
pub use self::manifest::sealed::Sealed;
pub use self::manifest::{
    Archive, ArchiveState, Copied, Daemon, Database, Encryption, FORMAT, Filters, Globals,
    MAX_WARNINGS, Manifest, Object, PgDump, Restore,
};
pub use self::name::{Name, Part, PartKind};
pub use self::probe::probes_ended;
pub use self::range::ByteStream;
pub use self::read::Listed;
pub use self::stall::{BytesMoved, in_time};
pub use self::upload::Upload;

use self::backend::Backend;
use self::local::LocalBackend;
use self::local::directory::Root;
use self::remote::Remote;
use crate::code::Code;
use crate::config::{PlaceConfig, RemoteConfig, StorageConfig};
use crate::fault::Fault;
use crate::off_runtime::off_runtime;

/// A configured destination, opened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    name: Arc<str>,
    id: Uuid,
    backend: Arc<dyn Backend>,
}

/// An object that is visible and on disk, but no backup until its manifest is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Where.
    pub key: ObjectKey,
    /// In bytes.
    pub size: u64,
}

impl Storage {
    /// Opens a storage, and makes it where it is new and the configuration names no id: a directory (0700), and
    /// its marker with a random id. A bucket must be there.
    ///
    /// A place that has no marker but contains anything is refused: it may be somebody's own, or a storage
    /// whose file system is not the one that was meant.
    ///
    /// # Errors
    /// `storage_denied`, `storage_readonly`, `storage_missing`, `storage_foreign`, `storage_marker_invalid`,
    /// `storage_newer`, `storage_full`, `storage_failed`; of an object store also `bucket_missing`,
    /// `storage_misconfigured`, `storage_misdirected`, `storage_unreachable`, `storage_stalled`.
    pub async fn open(name: &str, config: &StorageConfig) -> Result<Self, Fault> {
        if config.storage_id.is_some() {
            return Self::open_existing(name, config, &[]).await;
        }
        match &config.place {
            PlaceConfig::Local { path, min_free } => {
                let made = |path: &Path| {
                    let root = Root::create(path)?;
                    let id = local::marker::read_or_create(&root)?;
                    Ok((root, id))
                };
                Self::open_local(name, path, *min_free, made).await
            }
            PlaceConfig::Remote(remote) => {
                let remote = connected(name, remote).await?;
                let id = remote::marker::read_or_create(&remote).await?;
                Ok(Self::of_remote(name, id, remote))
            }
        }
    }

    /// Opens a storage that is there, and makes nothing. It must have the id that the configuration names, else one of
    /// those that are `known`, if any are; texts name the first.
    ///
    /// # Errors
    /// A transient `storage_missing` where it is not there, a transient `storage_replaced` where another one is;
    /// else as [`Storage::open`].
    pub async fn open_existing(
        name: &str,
        config: &StorageConfig,
        known: &[Uuid],
    ) -> Result<Self, Fault> {
        let expected = config
            .storage_id
            .map_or_else(|| known.to_vec(), |id| vec![id]);
        match &config.place {
            PlaceConfig::Local { path, min_free } => {
                let found = move |path: &Path| {
                    let root = Root::open(path)?;
                    let id = local::marker::expect(&root, &expected)?;
                    Ok((root, id))
                };
                Self::open_local(name, path, *min_free, found).await
            }
            PlaceConfig::Remote(remote) => {
                let remote = connected(name, remote).await?;
                let id = remote::marker::expect(&remote, &expected).await?;
                Ok(Self::of_remote(name, id, remote))
            }
        }
    }

    async fn open_local(
        name: &str,
        path: &Path,
        min_free: u64,
        open: impl FnOnce(&Path) -> Result<(Root, Uuid), Fault> + Send + 'static,
    ) -> Result<Self, Fault> {
        let path = path.to_owned();
        let (root, id) = off_runtime("opens the storage", move || open(&path)).await??;
        Ok(Self {
            name: name.into(),
            id,
            backend: Arc::new(LocalBackend { root, min_free }),
        })
    }

    /// A storage over anything that object_store knows. Its caller has chosen its id: no marker is read for it.
    pub fn over(name: &str, id: Uuid, objects: Arc<impl ObjectStore + MultipartStore>) -> Self {
        Self::of_remote(name, id, Remote::over(name, objects))
    }

    fn of_remote(name: &str, id: Uuid, remote: Remote) -> Self {
        Self {
            name: name.into(),
            id,
            backend: Arc::new(Arc::new(remote)),
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Random, from its marker: the same for every daemon, wherever it mounts it.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How many bytes were sent there through this handle.
    pub fn moved(&self) -> BytesMoved {
        self.backend.moved()
    }

    /// Bytes that may still be written; `None` if there is no such limit, or none that can be asked for.
    pub async fn free_space(&self) -> Option<u64> {
        self.backend.free_space().await.ok().flatten()
    }

    /// Checks that a dump of about this many bytes fits and leaves what the configuration reserves.
    ///
    /// # Errors
    /// A transient `storage_full`.
    pub async fn ensure_room(&self, expected_bytes: u64) -> Result<(), Fault> {
        self.backend.ensure_room(expected_bytes).await
    }

    /// Begins an upload, in a storage that is still there. Nothing is visible under `key` until its commit. From the
    /// expected bytes an object store's parts get their size: an upload of more than twice as much may be refused
    /// before its end.
    ///
    /// # Errors
    /// As [`Storage::confirm`] and [`Upload::write`].
    pub async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: Option<u64>,
    ) -> Result<Upload, Fault> {
        self.confirm().await?;
        Ok(Upload {
            key: key.clone(),
            sending: self.backend.begin(key, expected_bytes).await?,
        })
    }

    /// Makes a backup of a stored object: from here on it exists.
    ///
    /// The object is checked before and after: a daemon that lost its job without noticing may find that the
    /// next attempt has just removed it, and then no manifest may stay. The storage, too, is confirmed before and
    /// after: a backup in a directory that is not the storage's path any more is found by nobody.
    ///
    /// # Errors
    /// `object_missing` when no object of that size is under the manifest's key; `manifest_invalid`; and as
    /// [`Storage::confirm`] and [`Upload::write`]. After an error, or a cancelled call, it is unknown whether the
    /// manifest exists: [`Storage::find_backup`] finds out.
    pub async fn write_manifest(
        &self,
        manifest: &Manifest,
        index: Option<&Arc<Index>>,
    ) -> Result<(), Fault> {
        let key = &manifest.object.key;
        let (manifest_too, index) = (manifest.clone(), index.cloned());
        // Up to 64 MiB, read back once more, and encrypted where it is sealed.
        let text = off_runtime("writes the manifest", move || {
            manifest_too.to_json(index.as_deref())
        });
        let text = text.await??;
        self.confirm().await?;
        self.expect_object(manifest).await?;
        self.backend.put(&key.manifest(), text).await?;
        let still_there = self.expect_object(manifest).await;
        if still_there
            .as_ref()
            .is_err_and(|fault| fault.code() == Code::ObjectMissing)
        {
            self.backend.remove(&key.manifest()).await?;
        }
        still_there?;
        self.confirm().await
    }
}

/// The clients of an object store, which may read certificates from files.
async fn connected(name: &str, config: &RemoteConfig) -> Result<Remote, Fault> {
    let (name, config) = (name.to_owned(), config.clone());
    let made = off_runtime("reads the certificates", move || {
        Remote::new(&name, &config)
    });
    made.await?
}

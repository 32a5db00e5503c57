//! Reads which tables a backup has, from its manifest, for whoever asks over HTTP.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pgdump_archive::{DataKind, IndexEntry};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::code::Code;
use crate::context::Services;
use crate::fault::Fault;
use crate::http::{Contents, ContentsError, TableEntry, Tables};
use crate::queue::CopyRow;
use crate::readback::{Stored, name_of};
use crate::store::ObjectKey;

/// Manifests that are read at the same time: one may take much memory.
const AT_ONCE: usize = 1;

/// Backups of this queue, in the storages of this daemon.
pub(super) struct StoredContents {
    services: Arc<Services>,
    slots: Semaphore,
}

impl StoredContents {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Self {
            services,
            slots: Semaphore::new(AT_ONCE),
        }
    }

    /// From the first of the storages that can be read.
    async fn read(&self, job: Uuid) -> Result<Tables, ContentsError> {
        let unreadable = |why: String| ContentsError::Unreadable(why);
        let _slot = self.slots.acquire().await;
        let copies = self.services.queue.copies_of(job).await;
        let copies = copies.map_err(|error| unreadable(error.to_string()))?;
        let mut why = ContentsError::NotStored;
        for copy in &copies {
            match self.open(copy).await {
                Ok(Some(stored)) => return tables(&stored),
                Ok(None) => {
                    let name = &copy.storage;
                    why = unreadable(format!(
                        "storage \"{name}\" cannot be read from this daemon"
                    ));
                }
                Err(fault) => why = unreadable(fault.report()),
            }
        }
        Err(why)
    }

    /// `None` if none of this daemon's storages has it.
    async fn open(&self, copy: &CopyRow) -> Result<Option<Stored>, Fault> {
        let catalog = self.services.catalog();
        let storage = catalog.open_by_id(&copy.storage, copy.storage_id).await?;
        let Some(storage) = storage else {
            return Ok(None);
        };
        let key = ObjectKey::parse(&copy.object_key);
        let key =
            key.map_err(|error| Fault::permanent(Code::ManifestInvalid, error.to_string()))?;
        Stored::open(storage, &key).await
    }
}

impl Contents for StoredContents {
    fn tables(&self, job: Uuid) -> BoxFuture<'_, Result<Tables, ContentsError>> {
        self.read(job).boxed()
    }
}

fn tables(stored: &Stored) -> Result<Tables, ContentsError> {
    if let Some(fault) = &stored.index_damage {
        return Err(ContentsError::Unreadable(fault.report()));
    }
    match &stored.index {
        Some(index) => Ok(Tables {
            storage: stored.storage.name().to_owned(),
            entries: index.entries.iter().map(entry).collect(),
        }),
        None if stored.manifest.is_sealed() => Err(ContentsError::Sealed),
        None => Err(ContentsError::NoIndex),
    }
}

fn entry(entry: &IndexEntry) -> TableEntry {
    TableEntry {
        name: name_of(entry),
        rows: match entry.kind {
            DataKind::LargeObjects => entry.large_objects,
            _ => entry.rows,
        },
        raw_bytes: entry.raw_bytes,
        stored_bytes: entry.stored_bytes,
    }
}

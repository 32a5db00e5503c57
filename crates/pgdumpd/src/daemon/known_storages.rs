//! Which storage a name has turned out to be: another directory that appears in its place, because a file
//! system is not mounted or another one is, must neither be made a storage nor be filled.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::config::StorageConfig;
use crate::fault::Fault;
use crate::store::Storage;

/// The ids of the storages that were opened since the start or the last reload, by name.
#[derive(Debug, Default)]
pub struct KnownStorages {
    ids: Mutex<BTreeMap<String, Uuid>>,
    only_existing: bool,
}

impl KnownStorages {
    /// For commands that look: they make no storage, which would be their user's and not the daemon's.
    pub fn only_existing() -> Self {
        Self {
            only_existing: true,
            ..Self::default()
        }
    }

    /// Opens a storage. The first time it is made where it is new; from then on it must be there, and the same.
    ///
    /// # Errors
    /// As [`Storage::open`] and [`Storage::open_existing`].
    pub async fn open(&self, name: &str, config: &StorageConfig) -> Result<Storage, Fault> {
        let known = self.lock().get(name).copied();
        if known.is_some() || self.only_existing {
            return Storage::open_existing(name, config, known).await;
        }
        let storage = Storage::open(name, config).await?;
        self.lock().entry(name.to_owned()).or_insert(storage.id());
        Ok(storage)
    }

    /// The id that a name has turned out to have; none where it was not opened yet.
    pub fn id_of(&self, name: &str) -> Option<Uuid> {
        self.lock().get(name).copied()
    }

    /// Takes what comes next for what is meant: the operator has had the configuration read again.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Uuid>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

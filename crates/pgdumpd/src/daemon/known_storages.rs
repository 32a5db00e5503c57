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
pub struct KnownStorages(Mutex<BTreeMap<String, Uuid>>);

impl KnownStorages {
    /// Opens a storage. The first time it is made where it is new; from then on it must be there, and the same.
    ///
    /// # Errors
    /// As [`Storage::open`] and [`Storage::open_known`].
    pub async fn open(&self, name: &str, config: &StorageConfig) -> Result<Storage, Fault> {
        let known = self.lock().get(name).copied();
        if let Some(id) = known {
            return Storage::open_known(name, config, id).await;
        }
        let storage = Storage::open(name, config).await?;
        self.lock().entry(name.to_owned()).or_insert(storage.id());
        Ok(storage)
    }

    /// Takes what comes next for what is meant: the operator has had the configuration read again.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

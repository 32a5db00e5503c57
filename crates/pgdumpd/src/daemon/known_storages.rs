//! Which storage a name has turned out to be: another directory that appears in its place, because a file
//! system is not mounted or another one is, must neither be made a storage nor be filled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tracing::Instrument as _;
use uuid::Uuid;

use crate::config::StorageConfig;
use crate::fault::Fault;
use crate::store::{STORAGE_STALLED, Storage};

/// How long after its caller has left an opening may still go on without being taken for one that hangs.
const SLOW: Duration = Duration::from_secs(5);

/// The ids of the storages that were opened since the start or the last reload, by name.
#[derive(Debug, Default)]
pub struct KnownStorages {
    ids: Mutex<BTreeMap<String, Uuid>>,
    /// The last opening of each that its caller gave up, and when.
    left: Mutex<BTreeMap<String, (Instant, Weak<()>)>>,
    only_existing: bool,
}

/// Notes an opening that is given up.
struct Leaving<'a> {
    storages: &'a KnownStorages,
    name: &'a str,
    running: Weak<()>,
    done: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut left = self
            .storages
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        left.insert(self.name.to_owned(), (Instant::now(), self.running.clone()));
    }
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
    ///
    /// A transient `storage_stalled` where an earlier call, which its caller has given up, still hangs: each would hold a
    /// thread for as long.
    pub async fn open(&self, name: &str, config: &StorageConfig) -> Result<Storage, Fault> {
        if self.hangs(name) {
            let what = format!("storage \"{name}\" has not answered yet, and is not asked again");
            return Err(Fault::transient(STORAGE_STALLED, what)
                .hint("Look at the storage's file system, a network mount first."));
        }
        let known = self.id_of(name);
        let existing = known.is_some() || self.only_existing;
        let running = Arc::new(());
        let mut leaving = Leaving {
            storages: self,
            name,
            running: Arc::downgrade(&running),
            done: false,
        };
        let opening = {
            let (name, config) = (name.to_owned(), config.clone());
            async move {
                let _running = running;
                match existing {
                    true => Storage::open_existing(&name, &config, known).await,
                    false => Storage::open(&name, &config).await,
                }
            }
        };
        let opened = tokio::spawn(opening.in_current_span()).await;
        leaving.done = true;
        let storage = opened.unwrap_or_else(|error| {
            Err(Fault::transient("internal", "a storage could not be opened").caused_by(error))
        })?;
        if !existing {
            self.lock().entry(name.to_owned()).or_insert(storage.id());
        }
        Ok(storage)
    }

    fn hangs(&self, name: &str) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get(name)
            .is_some_and(|(since, running)| since.elapsed() > SLOW && running.strong_count() > 0)
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

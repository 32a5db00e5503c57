//! Which storage a name has turned out to be: another directory that appears in its place, because a file
//! system is not mounted or another one is, must neither be made a storage nor be filled.
//!
//! Two remember it. This process does so since it first opened the storage, for as long as the configuration says the
//! same of its place; the queue does so since something was stored there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tracing::Instrument as _;
use uuid::Uuid;

use crate::code::Code;
use crate::config::StorageConfig;
use crate::fault::Fault;
use crate::queue::RememberedStorage;
use crate::store::Storage;

/// How long an opening may continue after its caller has abandoned it before it counts as hanging.
const SLOW: Duration = Duration::from_secs(5);

/// The ids of the storages of one configuration, by name. A reload makes another one: whoever still works with the old
/// configuration cannot record in this one what the old one means.
#[derive(Debug, Default)]
pub struct KnownStorages {
    ids: Mutex<BTreeMap<String, Uuid>>,
    /// What the queue remembered when this was made: a name's last storage before its earlier ones.
    remembered: Vec<RememberedStorage>,
    /// An opening of each that its caller gave up and that still runs, and when it was given up: the first such one.
    abandoned: Mutex<BTreeMap<String, (Instant, Weak<()>)>>,
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
        let mut abandoned = lock(&self.storages.abandoned);
        // The first one that still hangs says for how long: others came since.
        match abandoned.get(self.name) {
            Some((_, running)) if running.strong_count() > 0 => {}
            _ => {
                let now = (Instant::now(), self.running.clone());
                abandoned.insert(self.name.to_owned(), now);
            }
        }
    }
}

impl KnownStorages {
    /// Of a process that starts.
    pub fn new(remembered: Vec<RememberedStorage>) -> Self {
        Self {
            remembered,
            ..Self::default()
        }
    }

    /// For commands that only read: they create no storage, which would be their user's and not the daemon's.
    pub fn only_existing(remembered: Vec<RememberedStorage>) -> Self {
        Self {
            only_existing: true,
            ..Self::new(remembered)
        }
    }

    /// Of a configuration that was read again: what it says as before is what it was. Where the queue could not be
    /// queried now, what it `remembered` before counts.
    #[must_use]
    pub fn reloaded(
        &self,
        remembered: Option<Vec<RememberedStorage>>,
        unchanged: impl Fn(&str) -> bool,
    ) -> Self {
        let mut ids = lock(&self.ids).clone();
        ids.retain(|name, _| unchanged(name));
        let mut abandoned = lock(&self.abandoned).clone();
        abandoned.retain(|name, _| unchanged(name));
        Self {
            ids: Mutex::new(ids),
            remembered: remembered.unwrap_or_else(|| self.remembered.clone()),
            abandoned: Mutex::new(abandoned),
            only_existing: self.only_existing,
        }
    }

    /// Opens a storage. It is made where it is new: neither this process nor the queue knows one of this name. From
    /// then on it must be there, and the same.
    ///
    /// # Errors
    /// As [`Storage::open`] and [`Storage::open_existing`].
    ///
    /// A transient `storage_stalled` where an earlier call, which its caller has given up, still hangs: each would hold
    /// a thread for as long.
    pub async fn open(&self, name: &str, config: &StorageConfig) -> Result<Storage, Fault> {
        if self.hangs(name) {
            let what = format!("storage \"{name}\" has not answered an earlier request yet");
            return Err(Fault::transient(Code::StorageStalled, what)
                .hint("Check the storage's file system, a network mount first."));
        }
        let known = self.id_of(name);
        let expected = known.map_or_else(|| self.remembered_as(name), |id| vec![id]);
        let existing = self.only_existing || !expected.is_empty();
        let running = Arc::new(());
        let mut leaving = Leaving {
            storages: self,
            name,
            running: Arc::downgrade(&running),
            done: false,
        };
        let opening = {
            let (name, config, expected) = (name.to_owned(), config.clone(), expected.clone());
            async move {
                let _running = running;
                if existing {
                    Storage::open_existing(&name, &config, &expected).await
                } else {
                    Storage::open(&name, &config).await
                }
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "waited for here; goes on where a storage hangs, so that it is asked only once"
        )]
        let opened = tokio::spawn(opening.in_current_span()).await;
        leaving.done = true;
        let opened = opened.unwrap_or_else(|error| {
            Err(Fault::transient(Code::Internal, "a storage could not be opened").caused_by(error))
        });
        let by_queue = known.is_none() && config.storage_id.is_none();
        let storage = opened.map_err(|fault| match expected.first() {
            Some(id) if by_queue => advised(fault, name, *id),
            _ => fault,
        })?;
        lock(&self.ids)
            .entry(name.to_owned())
            .or_insert(storage.id());
        Ok(storage)
    }

    /// The ids that may be opened under a name by what the queue remembers: those that the name has had, the last one
    /// first, then those of all others, since a storage may have got another name. None for a new name: anything may.
    fn remembered_as(&self, name: &str) -> Vec<Uuid> {
        let (named, others): (Vec<_>, Vec<_>) =
            self.remembered.iter().partition(|known| known.name == name);
        if named.is_empty() {
            return Vec::new();
        }
        named.iter().chain(&others).map(|known| known.id).collect()
    }

    fn hangs(&self, name: &str) -> bool {
        lock(&self.abandoned)
            .get(name)
            .is_some_and(|(since, running)| since.elapsed() > SLOW && running.strong_count() > 0)
    }

    /// The id that a name has turned out to have; `None` if it was not opened yet.
    pub fn id_of(&self, name: &str) -> Option<Uuid> {
        lock(&self.ids).get(name).copied()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What to do where the queue knows a storage that is not there.
fn advised(fault: Fault, name: &str, id: Uuid) -> Fault {
    if !matches!(fault.code(), Code::StorageMissing | Code::StorageReplaced) {
        return fault;
    }
    fault.hint(format!(
        "The queue knows storage \"{name}\" with the id {id}: mount the file system that holds it, or correct its path \
         or url. If another storage is meant from now on, name its id as storage_id in [storages.{name}]; a new one needs a section with another name."
    ))
}

//! Where jobs report what they have stored, for the task that deletes what a target no longer keeps; and what that task
//! reports to the checks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing::warn;
use uuid::Uuid;

use crate::finding::Finding;
use crate::queue::Success;

/// A target and the id of a storage.
pub(crate) type Place = (String, Uuid);

/// Successes after which older backups may be deleted, by target and storage.
#[derive(Debug, Default)]
pub struct RetentionQueue {
    due: Mutex<BTreeMap<Place, Due>>,
    wake: Notify,
    findings: Mutex<BTreeMap<Place, Vec<Finding>>>,
}

/// What was stored in one storage since the rules were last applied.
#[derive(Debug)]
pub(crate) struct Due {
    /// The storage's name.
    pub(crate) storage: String,
    /// The keys, the last one last. The rules never delete them in the same application, however old they are.
    pub(crate) pinned: Vec<String>,
}

impl RetentionQueue {
    /// Reports that a backup of this target was stored, adopted or copied. Returns at once.
    pub fn stored(&self, target: &str, success: &Success) {
        let place = (target.to_owned(), success.storage_id);
        let mut due = lock(&self.due);
        let due = due.entry(place).or_insert_with(|| Due {
            storage: success.storage.clone(),
            pinned: Vec::new(),
        });
        due.storage.clone_from(&success.storage);
        due.pinned.push(success.object_key.clone());
        self.wake.notify_one();
    }

    /// Waits until there may be something to apply.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Applies once more the rules that daemons did not agree about.
    pub(crate) fn apply_again(&self) {
        self.wake.notify_one();
    }

    /// Takes one place to which rules are to be applied.
    pub(crate) fn take(&self) -> Option<(Place, Due)> {
        lock(&self.due).pop_first()
    }

    /// Puts back a place to which rules could not be applied yet.
    pub(crate) fn put_back(&self, place: Place, due: Due) {
        let mut all = lock(&self.due);
        let now = all.entry(place).or_insert_with(|| Due {
            storage: due.storage.clone(),
            pinned: Vec::new(),
        });
        let later = std::mem::replace(&mut now.pinned, due.pinned);
        now.pinned.extend(later);
    }

    /// Replaces what an operator has to know of the backups that are left alone, and logs what is new.
    pub(crate) fn report(&self, place: Place, findings: Vec<Finding>) {
        let mut all = lock(&self.findings);
        let before = all.entry(place).or_default();
        for finding in findings.iter().filter(|finding| !before.contains(finding)) {
            warn!(check.hint = finding.hint, "{}", finding.what);
        }
        *before = findings;
    }

    /// What an operator has to know of the backups that are left alone, by target.
    pub fn findings(&self) -> Vec<(String, Finding)> {
        let all = lock(&self.findings);
        let of_place = |((target, _), findings): (&Place, &Vec<Finding>)| {
            let target = target.clone();
            let findings = findings.clone().into_iter();
            findings.map(move |finding| (target.clone(), finding))
        };
        all.iter().flat_map(of_place).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Deletes the backups that a target no longer keeps, after each success and beside the jobs: it holds no lease,
//! delays no job's end, and fails no job. What could not be deleted is tried again after the next success.
//!
//! A storage says which backups exist, the queue in which order they were taken: its clock decides, not the
//! daemons'. What either of them does not know is neither counted nor deleted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};
use uuid::Uuid;

use super::Services;
use crate::fault::{Fault, chain};
use crate::queue::{StoredBackup, Success};
use crate::retention::{Rules, Scope, Standing};
use crate::spec;
use crate::store::{Filters, Listed, ObjectKey, Storage};
use crate::telemetry::{BACKUP_DELETED, BACKUP_NOT_DELETED};

/// How long one target may take: a storage that hangs must not keep the others from being tidied.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Successes after which older backups may go; one for each target and storage, the last.
#[derive(Debug, Default)]
pub struct Retention {
    due: Mutex<BTreeMap<(String, Uuid), Newest>>,
    wake: Notify,
}

/// The backup that has just been stored.
#[derive(Debug)]
struct Newest {
    storage: String,
    object_key: String,
    /// It was dumped just now, and so is the newest of all. A copy is as old as its backup.
    dumped: bool,
}

impl Retention {
    /// Tells of a backup that was dumped. Returns at once.
    pub fn succeeded(&self, target: &str, success: &Success) {
        self.stored(target, success, true);
    }

    /// Tells of a backup that was copied. Returns at once.
    pub fn copied(&self, target: &str, success: &Success) {
        self.stored(target, success, false);
    }

    fn stored(&self, target: &str, success: &Success, dumped: bool) {
        let newest = Newest {
            storage: success.storage.clone(),
            object_key: success.object_key.clone(),
            dumped,
        };
        let place = (target.to_owned(), success.storage_id);
        self.lock().insert(place, newest);
        self.wake.notify_one();
    }

    fn take(&self) -> Option<((String, Uuid), Newest)> {
        self.lock().pop_first()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, Uuid), Newest>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies each target's rules after its successes, until `rest` is cancelled.
pub(super) async fn run(services: Arc<Services>, rest: CancellationToken) {
    loop {
        tokio::select! {
            () = rest.cancelled() => return,
            () = services.retention.wake.notified() => {}
        }
        while let Some(((target, storage_id), newest)) = services.retention.take() {
            let span = info_span!("retention", target = %target);
            let apply = apply(&services, &target, storage_id, &newest).instrument(span);
            // May be dropped at any point: the next success finishes what was begun.
            tokio::select! {
                () = rest.cancelled() => return,
                applied = tokio::time::timeout(PATIENCE, apply) => if applied.is_err() {
                    warn!(
                        target = %target,
                        event = %BACKUP_NOT_DELETED,
                        "older backups stay for now: no answer from the storage"
                    );
                }
            }
        }
    }
}

async fn apply(services: &Services, target: &str, storage_id: Uuid, newest: &Newest) {
    if let Err(why) = try_to_apply(services, target, storage_id, newest).await {
        warn!(event = %BACKUP_NOT_DELETED, "older backups stay for now: {why}");
    }
}

async fn try_to_apply(
    services: &Services,
    target: &str,
    storage_id: Uuid,
    newest: &Newest,
) -> Result<(), String> {
    let served = services.served();
    let Some(keep_last) = served.targets.get(target).and_then(|t| t.keep_last) else {
        return Ok(());
    };
    let Some(config) = served.storages.get(&newest.storage) else {
        return Err(format!(
            "storage \"{}\" is not configured here any more",
            newest.storage
        ));
    };
    // Nothing is made, and nothing deleted, where another one is mounted or configured by now.
    let opened = Storage::open_existing(&newest.storage, config, &[storage_id]).await;
    let storage = opened.map_err(|fault| fault.report())?;
    if storage.id() != storage_id {
        return Err(format!(
            "storage \"{}\" is another one by now",
            newest.storage
        ));
    }
    let found = storage.list_target(services.queue.id(), target).await;
    let found = found.map_err(|fault| fault.report())?;
    if !found
        .iter()
        .any(|listed| listed.key.as_str() == newest.object_key)
    {
        return Err("the newest backup is not found in the storage".to_owned());
    }
    let keys: Vec<String> = found.iter().map(|listed| listed.key.to_string()).collect();
    let known = services
        .queue
        .stored_backups(target, storage_id, &keys)
        .await;
    let known = known.map_err(|error| chain(&error))?;
    let present = Present::new(services.queue.id(), target, found);
    let backups = judge(&storage, present, known, newest).await;
    let judged: Vec<_> = backups
        .iter()
        .map(|b| (b.scope.clone(), b.standing))
        .collect();
    let expired = Rules { keep_last }.expired(&judged);
    // The oldest first: whatever interrupts this, what stays is the newest.
    let mut deleted = 0;
    for (backup, _) in backups
        .iter()
        .zip(expired)
        .rev()
        .filter(|(_, expired)| *expired)
    {
        deleted += usize::from(delete(services, &storage, backup).await);
    }
    debug!(
        backups = backups.len(),
        deleted, "applied the target's rules"
    );
    Ok(())
}

/// What the storage has shown of one target.
struct Present {
    prefix: String,
    queue_id: Uuid,
    target: String,
    by_key: HashMap<String, Listed>,
}

impl Present {
    fn new(queue_id: Uuid, target: &str, found: Vec<Listed>) -> Self {
        Self {
            prefix: ObjectKey::prefix(queue_id, target),
            queue_id,
            target: target.to_owned(),
            by_key: found
                .into_iter()
                .map(|listed| (listed.key.to_string(), listed))
                .collect(),
        }
    }
}

/// A backup that may be deleted.
struct Backup {
    known: StoredBackup,
    key: ObjectKey,
    scope: Scope,
    standing: Standing,
    size_bytes: u64,
}

/// What both storage and queue know, newest first. The backup that has just been dumped is the newest, even if the
/// database's clock was set back.
async fn judge(
    storage: &Storage,
    mut present: Present,
    mut known: Vec<StoredBackup>,
    newest: &Newest,
) -> Vec<Backup> {
    if newest.dumped {
        known.sort_by_key(|backup| backup.object_key != newest.object_key);
    }
    let mut backups = Vec::new();
    for known in known {
        let key = known.object_key.clone();
        match look(storage, &mut present, known).await {
            Ok(Some(backup)) => backups.push(backup),
            Ok(None) => {}
            Err(fault) => {
                warn!(
                    object.key = %key,
                    "a backup is neither counted nor deleted: {}",
                    fault.report()
                );
            }
        }
    }
    for key in present.by_key.keys() {
        debug!(
            object.key = %key,
            "a backup that the queue has no ended job of is neither counted nor deleted"
        );
    }
    backups
}

/// None where this backup is not ours to judge.
///
/// # Errors
/// Its manifest or its object cannot be looked at.
async fn look(
    storage: &Storage,
    present: &mut Present,
    known: StoredBackup,
) -> Result<Option<Backup>, Fault> {
    // An adopted clone's rows name the keys of the original, which has an id of its own.
    if !known.object_key.starts_with(&present.prefix) {
        return Ok(None);
    }
    let Some(listed) = present.by_key.remove(&known.object_key) else {
        return remains(storage, known).await;
    };
    let manifest = listed.manifest?;
    if manifest.queue_id != present.queue_id || manifest.target != present.target {
        return Ok(None);
    }
    let standing = if storage.has_object(&manifest).await? {
        Standing::Good
    } else {
        warn!(object.key = %listed.key, "a backup is not counted: its object is gone, or has another size");
        Standing::Lost
    };
    let filters = match manifest.is_sealed() {
        // It does not tell them to whom has no identity; the job's row does, unless it was rebuilt from the manifest.
        true => Filters::from(&spec::parse(&known.spec)?),
        false => manifest.spec,
    };
    if manifest.partial && filters == Filters::default() {
        warn!(object.key = %listed.key, "a backup is neither counted nor deleted: what it is a part of is sealed, and its row does not say it");
        return Ok(None);
    }
    Ok(Some(Backup {
        known,
        key: listed.key,
        scope: Scope::new(manifest.partial, filters),
        standing,
        size_bytes: manifest.object.size_bytes,
    }))
}

/// A backup that is noted and has no manifest: its deletion was interrupted, or a person deleted it.
async fn remains(storage: &Storage, known: StoredBackup) -> Result<Option<Backup>, Fault> {
    let Ok(key) = ObjectKey::parse(&known.object_key) else {
        return Ok(None);
    };
    // A listing that left it out is not enough to delete what may be a backup.
    if storage.read_manifest(&key).await?.is_some() {
        return Ok(None);
    }
    let spec = spec::parse(&known.spec)?;
    Ok(Some(Backup {
        scope: Scope::new(spec::is_partial(&spec), Filters::from(&spec)),
        known,
        key,
        standing: Standing::Lost,
        size_bytes: 0,
    }))
}

/// False where it could not be deleted.
async fn delete(services: &Services, storage: &Storage, backup: &Backup) -> bool {
    let Backup { known, key, .. } = backup;
    if let Err(fault) = storage.delete_backup(key).await {
        warn!(
            event = %BACKUP_NOT_DELETED,
            job.id = %known.job,
            object.key = %key,
            "an old backup could not be deleted: {}",
            fault.report()
        );
        return false;
    }
    info!(
        event = %BACKUP_DELETED,
        job.id = %known.job,
        object.key = %key,
        object.size_bytes = backup.size_bytes,
        "deleted a backup that is no longer kept"
    );
    if !known.noted {
        // Nothing to note, or another copy of the job, under a key of its own.
        return true;
    }
    if let Err(error) = services
        .queue
        .mark_copy_deleted(storage.id(), key.as_str())
        .await
    {
        warn!(
            job.id = %known.job,
            error = &error as &dyn std::error::Error,
            "that a backup is deleted could not be noted; the next success does"
        );
    }
    true
}

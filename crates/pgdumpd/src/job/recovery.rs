//! What earlier attempts of the same job left: a finished backup to adopt, partial objects to remove,
//! sessions on the target to end.

use std::time::Duration;

use tracing::{info, warn};

use crate::code::Code;
use crate::context::Catalog;
use crate::fault::Fault;
use crate::queue::{ClaimedJob, EarlierAttempt, Leftover, Queue, Recorded, Work};
use crate::readback::{compare_with_row, record_backup};
use crate::server::{Target, application_name};
use crate::store::{Manifest, ObjectKey, Storage, in_time};
use crate::telemetry::BACKUP_DELETED;

/// How long the server may take to end a session.
const SESSIONS_LIMIT: Duration = Duration::from_secs(10);

/// Looks under the earlier attempts' keys for a manifest that is valid; removes what is left under the
/// others. A storage that cannot be reached hides nothing that matters: its keys stay unique, and the
/// next daemon that can reach it tries again. `limit` is for each of a storage's answers.
///
/// # Errors
/// A transient `storage_stalled`, `storage_missing` or `storage_replaced` when `storage`, which is about to be written
/// to, gives no answer or has gone.
pub(super) async fn adopt(
    job: &ClaimedJob,
    catalog: &Catalog,
    storage: &Storage,
    limit: Duration,
) -> Result<Option<(Manifest, Storage)>, Fault> {
    let mut adopted = None;
    for earlier in &job.earlier {
        let (Some(name), Some(key)) = (&earlier.storage, &earlier.object_key) else {
            continue;
        };
        let key = match ObjectKey::parse(key) {
            Ok(key) => key,
            Err(error) => {
                warn!("an earlier attempt's key is unreadable: {error}");
                continue;
            }
        };
        let Some(place) = open(name, earlier.storage_id, catalog, storage, limit).await else {
            continue;
        };
        let found = match place.find_backup(&key, limit).await {
            // Hashing takes its time, in which the storage may have gone.
            Ok(Some(manifest)) => in_time(limit, place.confirm())
                .await
                .map(|()| Some(manifest)),
            found => found,
        };
        match found {
            Ok(Some(manifest)) if adopted.is_none() => {
                if let Err(fault) = expect_own(job, earlier, &manifest) {
                    warn!(object.key = %key, "an earlier attempt's backup is not adopted: {}", fault.report());
                    continue;
                }
                info!(object.key = %key, "an earlier attempt had finished the backup: adopting it");
                adopted = Some((manifest, place));
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                let removed = place.remove_partial(&key, earlier.upload_id.as_deref());
                if let Err(fault) = in_time(limit, removed).await {
                    warn!(object.key = %key, "an earlier attempt's leftovers stay: {}", fault.report());
                }
            }
            Err(fault) if place.id() == storage.id() && ends_the_attempt(&fault) => {
                return Err(fault);
            }
            Err(fault) => {
                warn!(object.key = %key, "an earlier attempt's backup cannot be read: {}", fault.report())
            }
        }
    }
    Ok(adopted)
}

fn ends_the_attempt(fault: &Fault) -> bool {
    matches!(
        fault.code(),
        Code::StorageStalled | Code::StorageMissing | Code::StorageReplaced
    )
}

/// Whether a backup is the one that this attempt stored. Of a copy the queue is asked for more, by whoever adopts it.
fn expect_own(
    job: &ClaimedJob,
    earlier: &EarlierAttempt,
    manifest: &Manifest,
) -> Result<(), Fault> {
    match (&job.work, &manifest.copied) {
        (Work::Copy(_), _) => return Ok(()),
        (Work::Backup, None) => {}
        (Work::Backup, Some(_)) => return Err(not_made_by(manifest, "a copy")),
    }
    let recorded = Recorded {
        target: Some(job.target.clone()),
        requested_by: Some(job.requested_by.clone()),
        attempt: Some(earlier.attempt),
        claimed_at: Some(earlier.started_at),
        sha256: None,
    };
    compare_with_row(manifest, None, &recorded)
}

fn not_made_by(manifest: &Manifest, what: &str) -> Fault {
    let text = format!(
        "{} is of {what}, which the attempt was not meant to make",
        manifest.object.key.manifest()
    );
    Fault::permanent(Code::BackupDiffers, text)
}

async fn open(
    name: &str,
    id: Option<uuid::Uuid>,
    catalog: &Catalog,
    present: &Storage,
    limit: Duration,
) -> Option<Storage> {
    let id = id?;
    if present.id() == id {
        return Some(present.clone());
    }
    match in_time(limit, catalog.open_by_id(name, id)).await {
        Ok(place) => place,
        Err(fault) => {
            warn!(
                storage = name,
                "an earlier attempt's storage cannot be opened: {}",
                fault.report()
            );
            None
        }
    }
}

/// The same of an attempt whose job has ended, by what is known of it.
fn expect_made_by(left: &Leftover, manifest: &Manifest) -> Result<(), Fault> {
    match (left.is_copy, &manifest.copied) {
        (true, None) => return Err(not_made_by(manifest, "a backup")),
        (false, Some(_)) => return Err(not_made_by(manifest, "a copy")),
        _ => {}
    }
    let recorded = Recorded {
        target: Some(left.target.clone()),
        ..Recorded::default()
    };
    compare_with_row(manifest, None, &recorded)
}

/// Ends what earlier attempts left running on the target: a pg_dump whose daemon was killed stays queued
/// on its locks.
pub(super) async fn end_sessions(job: &ClaimedJob, target: &Target) {
    if job.earlier.is_empty() {
        return;
    }
    let names: Vec<String> = job
        .earlier
        .iter()
        .map(|earlier| application_name(earlier.token))
        .collect();
    match target.end_sessions(&names, SESSIONS_LIMIT).await {
        Ok(0) => {}
        Ok(sessions) => info!(sessions, "ended sessions that an earlier attempt had left"),
        Err(fault) => warn!(
            "sessions of an earlier attempt may remain: {}",
            fault.report()
        ),
    }
}

/// Ends the sessions of an attempt whose job will not run again, and cleans up its object: what is partial is removed;
/// a whole backup is recorded in the queue, or deleted where its deletion was requested. False: this daemon does not serve
/// its storage, or its target, whose sessions it cannot end. Safe to repeat.
///
/// # Errors
/// When target, storage or queue could not be reached, or refused.
pub async fn clear(left: &Leftover, catalog: &Catalog, queue: &Queue) -> Result<bool, Fault> {
    let target = catalog.targets.get(&left.target);
    let sessions = match target {
        _ if left.is_copy => 0,
        // Its object can be cleaned up all the same: no daemon may serve the target any more.
        None => 0,
        Some(config) => {
            let target = Target::connect(&left.target, &config.url).await?;
            let sessions = [application_name(left.token)];
            target.end_sessions(&sessions, SESSIONS_LIMIT).await?
        }
    };
    if let (Some(name), Some(id), Some(key)) = (&left.storage, left.storage_id, &left.object_key) {
        let Some(storage) = catalog.open_by_id(name, id).await? else {
            return Ok(false);
        };
        let key = ObjectKey::parse(key).map_err(|error| {
            Fault::permanent(Code::KeyUnreadable, "an attempt's object key is unreadable")
                .caused_by(error)
        })?;
        clear_object(left, &storage, &key, queue).await?;
        // Where it has gone meanwhile, what it holds has not.
        storage.confirm().await?;
    }
    if target.is_none() && !left.is_copy {
        return Ok(false);
    }
    info!(
        job.id = %left.job,
        sessions,
        "cleaned up after an attempt"
    );
    Ok(true)
}

async fn clear_object(
    left: &Leftover,
    storage: &Storage,
    key: &ObjectKey,
    queue: &Queue,
) -> Result<(), Fault> {
    match whole_backup(left, storage, key).await? {
        Some(_) if left.deletion_requested => {
            storage.delete_backup(key).await?;
            info!(
                event = %BACKUP_DELETED,
                job.id = %left.backup,
                object.key = %key,
                "deleted a backup whose deletion was requested before its daemon died"
            );
            Ok(())
        }
        Some(size_bytes) => {
            // Where the queue records another backup of the job in this storage, that one counts.
            if record_backup(queue, storage, left.backup, key, size_bytes).await? {
                info!(
                    job.id = %left.backup,
                    object.key = %key,
                    "recorded a backup that was whole when its daemon died"
                );
            }
            Ok(())
        }
        None => {
            storage
                .remove_partial(key, left.upload_id.as_deref())
                .await?;
            storage.confirm().await
        }
    }
}

/// The size of a backup whose manifest can be read and whose object is there, and which the attempt may have made.
async fn whole_backup(
    left: &Leftover,
    storage: &Storage,
    key: &ObjectKey,
) -> Result<Option<u64>, Fault> {
    match storage.read_manifest(key).await {
        Ok(Some(manifest)) if let Err(fault) = expect_made_by(left, &manifest) => {
            warn!(job.id = %left.job, object.key = %key, "the queue could not record what an attempt left: {}", fault.report());
            // `remove_partial` leaves it to a person.
            Ok(None)
        }
        Ok(Some(manifest)) if storage.has_object(&manifest).await? => {
            Ok(Some(manifest.object.size_bytes))
        }
        Ok(_) => Ok(None),
        // `remove_partial` leaves what has a manifest.
        Err(fault) if fault.code().is_of_a_manifest() => Ok(None),
        Err(fault) => Err(fault),
    }
}

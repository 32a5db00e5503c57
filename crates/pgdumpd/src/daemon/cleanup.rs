//! Cleans up after attempts whose jobs have ended and that nobody could clean up: their daemons died, or could not
//! reach target or storage at the end. A job that runs again does so itself. And finishes deletions that were requested
//! while a storage was away, or before a daemon had stored what was to be deleted, and those whose daemon died.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::code::Code;
use crate::context::Services;
use crate::fault::Fault;
use crate::job;
use crate::queue::{Leftover, Unfinished};
use crate::store::{ObjectKey, in_time};
use crate::telemetry::BACKUP_DELETED;

/// Attempts cleaned up in one round; others wait for the next.
const A_ROUND: i64 = 20;
/// What could not be cleaned up is tried again after this long: its target or its storage is away, or served by
/// another daemon alone.
const TRY_AGAIN: Duration = Duration::from_secs(300);

/// How long the cleanup of one attempt may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Looks for something to clean up every heartbeat, until `shutdown` is cancelled.
pub(super) async fn run(services: Arc<Services>, shutdown: CancellationToken) {
    let mut tried: HashMap<Uuid, Instant> = HashMap::new();
    let mut reported = HashSet::new();
    let mut deletions_tried: HashMap<Uuid, Instant> = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(services.daemon.heartbeat) => {}
        }
        let round = async {
            round(&services, &mut tried, &mut reported).await;
            finish_deletions(&services, &mut deletions_tried).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = round => {}
        }
    }
}

/// May be dropped at any point: each step can be repeated. What is `reported` is not reported again.
async fn round(
    services: &Services,
    tried: &mut HashMap<Uuid, Instant>,
    reported: &mut HashSet<Uuid>,
) {
    tried.retain(|_, at| at.elapsed() < TRY_AGAIN);
    let catalog = services.catalog();
    let targets: Vec<String> = catalog.targets.keys().cloned().collect();
    let storages = catalog.storages_for_copies();
    let without: Vec<Uuid> = tried.keys().copied().collect();
    let left = services
        .queue
        .leftovers(&targets, &storages, A_ROUND, &without)
        .await;
    let left = match left {
        Ok(left) => left,
        Err(error) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "the queue cannot be queried for leftovers of attempts"
            );
            return;
        }
    };
    for Leftover { token, .. } in &left {
        tried.insert(*token, Instant::now());
    }
    for attempt in &left {
        // One storage that hangs must not keep what others hold.
        match in_time(LIMIT, job::clear(attempt, &catalog, &services.queue)).await {
            Ok(true) => {
                reported.remove(&attempt.token);
                record(services, attempt.token).await;
            }
            Ok(false) => {
                debug!(job.id = %attempt.job, "another daemon must clean up after an attempt");
            }
            Err(fault) if reported.insert(attempt.token) => warn!(
                job.id = %attempt.job,
                target = attempt.target,
                "could not clean up after an attempt, and tries again every {} min: {}",
                TRY_AGAIN.as_secs() / 60,
                fault.report()
            ),
            Err(fault) => debug!(
                job.id = %attempt.job,
                target = attempt.target,
                "could not clean up after an attempt: {}",
                fault.report()
            ),
        }
    }
}

/// Deletes backups whose deletion was requested and that a storage got, or that came back with it, after that; and
/// those that a daemon began to delete. May be dropped at any point: each step can be repeated.
async fn finish_deletions(services: &Services, tried: &mut HashMap<Uuid, Instant>) {
    tried.retain(|_, at| at.elapsed() < TRY_AGAIN);
    let storages = services.catalog().storages_for_copies();
    let ids: Vec<Uuid> = storages.iter().filter_map(|storage| storage.id).collect();
    let without: Vec<Uuid> = tried.keys().copied().collect();
    let unfinished = services.queue.deletions_to_finish(&ids, A_ROUND, &without);
    let unfinished = match unfinished.await {
        Ok(unfinished) => unfinished,
        Err(error) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "the queue cannot be queried for unfinished deletions"
            );
            return;
        }
    };
    for backup in &unfinished {
        tried.insert(backup.job, Instant::now());
        match in_time(LIMIT, finish_deletion(services, backup)).await {
            Ok(()) => info!(
                event = %BACKUP_DELETED,
                job.id = %backup.job,
                object.key = backup.object_key,
                "deleted a backup whose deletion had been {}", begun_or_requested(backup)
            ),
            Err(fault) => {
                if fault.code().is_of_a_storage() {
                    services
                        .counters
                        .storage_failed(&backup.storage, fault.code());
                }
                warn!(
                    job.id = %backup.job,
                    object.key = backup.object_key,
                    "a deletion that had been {} could not be finished: {}",
                    begun_or_requested(backup),
                    fault.report()
                );
            }
        }
    }
}

async fn finish_deletion(services: &Services, backup: &Unfinished) -> Result<(), Fault> {
    let (name, id) = (&backup.storage, backup.storage_id);
    let storage = services.catalog().open_by_id(name, id).await?;
    let storage = storage.ok_or_else(|| {
        Fault::transient(
            Code::StorageUnknown,
            format!("storage \"{name}\" with the id {id} is not configured here"),
        )
    })?;
    let key = ObjectKey::parse(&backup.object_key).map_err(|error| {
        Fault::permanent(Code::KeyUnreadable, "a backup's object key is unreadable")
            .caused_by(error)
    })?;
    if backup.requested {
        // Also what no row records: an attempt whose daemon died may have stored another one. The row comes last: until
        // it says so, this is tried again.
        let queue = services.queue.id();
        let keys = storage.keys_of_target(queue, &backup.target, backup.job);
        for key in keys.await? {
            storage.delete_backup(&key).await?;
        }
    }
    storage.delete_backup(&key).await?;
    let recorded = services.queue.mark_copy_deleted(storage.id(), key.as_str());
    recorded.await?;
    Ok(())
}

fn begun_or_requested(backup: &Unfinished) -> &'static str {
    if backup.requested {
        "requested"
    } else {
        "begun"
    }
}

async fn record(services: &Services, token: Uuid) {
    if let Err(error) = services.queue.mark_cleared(token).await {
        debug!(
            error = &error as &dyn std::error::Error,
            "the queue could not record that an attempt is cleaned up"
        );
    }
}

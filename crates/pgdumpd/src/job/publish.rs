//! The only place where an upload is committed. What it takes proves what it needs: pg_dump's clean exit,
//! the archive's end, and a lease confirmed just before.

use std::time::Duration;

use tracing::warn;

use crate::dump::CleanExit;
use crate::fault::Fault;
use crate::job::dumping::abort;
use crate::job::globals;
use crate::job::halt::{Halt, HaltSwitch};
use crate::job::stop::{InStep, Step, Stop};
use crate::pipeline::Streamed;
use crate::queue::{Beat, Lease, Progress, Queue};
use crate::store::{Manifest, ObjectKey, Storage, Upload, in_time};

/// How long a storage may take to remove an object that is no backup.
const REMOVE_LIMIT: Duration = Duration::from_secs(30);

/// What is needed to publish, beside the proofs.
pub(super) struct Publication<'a> {
    pub(super) queue: &'a Queue,
    pub(super) lease: &'a Lease,
    pub(super) lease_time: Duration,
    /// How long the storage may take for each step.
    pub(super) limit: Duration,
    pub(super) progress: Progress,
    pub(super) storage: &'a Storage,
    /// What lies beside the archive.
    pub(super) globals: Option<&'a globals::Dumped>,
    pub(super) switch: &'a HaltSwitch,
}

/// Confirms the lease, commits the object, then writes the manifest, which is what makes the backup exist.
///
/// A cancel that was asked for before the confirmation wins; a later one loses. On an error no backup exists
/// that could be read back; what a storage that does not answer may keep is settled by the next attempt.
pub(super) async fn publish(
    exit: &CleanExit,
    streamed: &Streamed,
    upload: Upload,
    publication: Publication<'_>,
    manifest: impl FnOnce(&CleanExit, &Streamed) -> Manifest,
) -> Result<Manifest, Stop> {
    let key = upload.key().clone();
    if let Err(stop) = confirm(&publication).await {
        abort(upload).await;
        return Err(stop);
    }
    let limit = publication.limit;
    let stored = in_time(limit, upload.commit())
        .await
        .in_step(Step::Publish)?;
    if publication.switch.reason() == Some(Halt::LeaseLost) {
        // Lost while the object was being made durable: no manifest, so no backup.
        remove(publication.storage, &key).await;
        return Err(Stop::Halted);
    }
    let written = async {
        if stored.size != streamed.size() {
            return Err(Fault::transient(
                "stored_size_differs",
                format!(
                    "the storage holds {} bytes of {}, {} were sent",
                    stored.size,
                    key,
                    streamed.size()
                ),
            ));
        }
        if let Some(globals) = publication.globals {
            let stored = globals.stored.clone();
            publication.storage.write_globals(&key, stored).await?;
        }
        let manifest = manifest(exit, streamed);
        publication
            .storage
            .write_manifest(&manifest, streamed.index())
            .await?;
        Ok(manifest)
    };
    match in_time(limit, written).await {
        Ok(manifest) => Ok(manifest),
        Err(fault) => {
            // The answer may be wrong: what can be read back whole is a backup.
            let kept = publication.storage.find_backup(&key, limit).await;
            if let Ok(Some(manifest)) = kept {
                warn!(
                    "the manifest is there although its write failed: {}",
                    fault.report()
                );
                return Ok(manifest);
            }
            remove(publication.storage, &key).await;
            Err(fault).in_step(Step::Publish)
        }
    }
}

async fn remove(storage: &Storage, key: &ObjectKey) {
    let removed = tokio::time::timeout(REMOVE_LIMIT, storage.remove_partial(key, None)).await;
    match removed {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => warn!("the object could not be removed: {}", fault.report()),
        Err(_) => warn!("the object could not be removed: no answer from the storage"),
    }
}

/// A heartbeat that must be acknowledged.
async fn confirm(publication: &Publication<'_>) -> Result<(), Stop> {
    let Publication {
        queue,
        lease,
        lease_time,
        progress,
        switch,
        ..
    } = publication;
    loop {
        if switch.token().is_cancelled() {
            return Err(Stop::Halted);
        }
        // While the queue is away the heart keeps counting, and throws the switch in time.
        let beat = tokio::select! {
            () = switch.token().cancelled() => return Err(Stop::Halted),
            beat = queue.heartbeat(lease, *lease_time, progress) => beat,
        };
        match beat {
            Ok(Beat::Renewed { cancel: false }) => return Ok(()),
            Ok(Beat::Renewed { cancel: true }) => {
                switch.throw(Halt::Cancelled);
                return Err(Stop::Halted);
            }
            Ok(Beat::LeaseLost) => {
                switch.throw(Halt::LeaseLost);
                return Err(Stop::Halted);
            }
            Err(_) => {
                tokio::select! {
                    () = switch.token().cancelled() => return Err(Stop::Halted),
                    () = tokio::time::sleep(Duration::from_millis(300)) => {}
                }
            }
        }
    }
}

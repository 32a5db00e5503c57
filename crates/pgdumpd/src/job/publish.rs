//! The only place where an upload is committed. What it takes proves what it needs: of a dump pg_dump's clean exit
//! and the archive's end, of a copy that what was read is what the original's manifest says; and a lease confirmed
//! just before.

use std::time::Duration;

use pgdump_archive::Index;
use tracing::warn;

use crate::code::Code;
use crate::dump::CleanExit;
use crate::fault::Fault;
use crate::job::abort::abort_all;
use crate::job::cancel::{CancelReason, JobCancel};
use crate::job::error::{AttemptError, InStep, Step};
use crate::pipeline::Streamed;
use crate::queue::{Beat, Lease, Progress, Queue};
use crate::store::{Manifest, ObjectKey, Storage, StoredObject, Upload, in_time};

/// Between two heartbeats to a queue that is away.
const RETRY: Duration = Duration::from_millis(300);
/// How long a storage may take to remove an object that is not a backup.
const REMOVE_LIMIT: Duration = Duration::from_secs(30);

/// What uploads must have behind them to become a backup. There are two kinds; each can be made only by the check that
/// it stands for.
pub(super) trait Proof {
    /// The bytes that were sent to each upload, in order.
    fn sizes(&self) -> Vec<u64>;

    /// Where the archive's data is, for the manifest.
    fn index(&self) -> Option<&Index>;
}

/// Of a dump: pg_dump ended with status 0, and its archive was read to the end.
impl Proof for (&CleanExit, &Streamed) {
    fn sizes(&self) -> Vec<u64> {
        vec![self.1.size()]
    }

    fn index(&self) -> Option<&Index> {
        self.1.index()
    }
}

/// What is needed to publish, beside the proofs.
pub(super) struct Publication<'a> {
    pub(super) queue: &'a Queue,
    pub(super) lease: &'a Lease,
    pub(super) lease_time: Duration,
    /// How long the storage may take for each step, or with what it is sent for the next bytes.
    pub(super) limit: Duration,
    pub(super) progress: Progress,
    pub(super) storage: &'a Storage,
    /// Roles and tablespaces as they will be beside the archive.
    pub(super) globals: Option<&'a [u8]>,
    pub(super) cancel: &'a JobCancel,
}

/// Confirms the lease, commits the objects, the archive first, then writes the manifest, which is what makes the backup
/// exist.
///
/// A cancel that was asked for before the confirmation wins; a later one loses.
///
/// # Errors
/// No backup exists, as far as the storage answers. Where it does not, or goes once the manifest is written, a whole
/// one may be there: the next attempt finds it under the key that was noted, and adopts it.
pub(super) async fn publish<P: Proof>(
    proof: &P,
    uploads: Vec<Upload>,
    publication: Publication<'_>,
    manifest: impl FnOnce(&P) -> Manifest,
) -> Result<Manifest, AttemptError> {
    if let Err(stop) = confirm(&publication).await {
        abort_all(uploads).await;
        return Err(stop);
    }
    let stored = commit(uploads, &publication).await.in_step(Step::Publish)?;
    if publication.cancel.reason() == Some(CancelReason::LeaseLost) {
        // Lost while the objects were being made durable: no manifest, so no backup.
        remove_all(publication.storage, &stored).await;
        return Err(AttemptError::Cancelled);
    }
    let manifest = manifest(proof);
    let key = manifest.object.key.clone();
    let written = async {
        expect_sizes(&stored, &proof.sizes())?;
        if let Some(globals) = publication.globals {
            let stored = globals.to_vec();
            publication.storage.write_globals(&key, stored).await?;
        }
        publication
            .storage
            .write_manifest(&manifest, proof.index())
            .await
    };
    let limit = publication.limit;
    // A large manifest over a slow link takes its time, and moves.
    match publication.storage.moved().in_time(limit, written).await {
        Ok(()) => Ok(manifest),
        Err(fault) => {
            // The answer may be wrong: what can be read back whole is a backup, where it can be found.
            let kept = publication.storage.find_backup(&key, limit).await;
            if let Ok(Some(manifest)) = kept
                && let Ok(()) = in_time(limit, publication.storage.confirm()).await
            {
                warn!(
                    "the manifest is there although its write failed: {}",
                    fault.report()
                );
                return Ok(manifest);
            }
            remove_all(publication.storage, &stored).await;
            Err(fault).in_step(Step::Publish)
        }
    }
}

/// Makes the objects visible: all, or none that could be removed again.
async fn commit(
    uploads: Vec<Upload>,
    publication: &Publication<'_>,
) -> Result<Vec<StoredObject>, Fault> {
    let mut stored = Vec::new();
    let mut uploads = uploads.into_iter();
    while let Some(upload) = uploads.next() {
        match in_time(publication.limit, upload.commit()).await {
            Ok(object) => stored.push(object),
            Err(fault) => {
                abort_all(uploads).await;
                remove_all(publication.storage, &stored).await;
                return Err(fault);
            }
        }
    }
    Ok(stored)
}

fn expect_sizes(stored: &[StoredObject], sent: &[u64]) -> Result<(), Fault> {
    for (object, sent) in stored.iter().zip(sent) {
        if object.size != *sent {
            return Err(Fault::transient(
                Code::StoredSizeDiffers,
                format!(
                    "the storage holds {} bytes of {}, {sent} were sent",
                    object.size, object.key
                ),
            ));
        }
    }
    Ok(())
}

async fn remove_all(storage: &Storage, objects: &[StoredObject]) {
    for object in objects {
        remove(storage, &object.key).await;
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
async fn confirm(publication: &Publication<'_>) -> Result<(), AttemptError> {
    let Publication {
        queue,
        lease,
        lease_time,
        progress,
        cancel,
        ..
    } = publication;
    loop {
        if cancel.token().is_cancelled() {
            return Err(AttemptError::Cancelled);
        }
        // While the queue is away the heartbeat task keeps counting, and stops the job in time.
        let beat = queue.heartbeat(lease, *lease_time, progress);
        match cancel.or_cancelled(beat).await? {
            Ok(Beat::Renewed { cancel: false }) => return Ok(()),
            Ok(Beat::Renewed { cancel: true }) => {
                cancel.request(CancelReason::Requested);
                return Err(AttemptError::Cancelled);
            }
            Ok(Beat::LeaseLost) => {
                cancel.request(CancelReason::LeaseLost);
                return Err(AttemptError::Cancelled);
            }
            Err(_) => cancel.or_cancelled(tokio::time::sleep(RETRY)).await?,
        }
    }
}

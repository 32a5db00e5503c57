//! The only place where an upload is committed. What it takes proves what it needs: of a dump pg_dump's clean exit
//! and the archive's end, of a copy that what was read is what the original's manifest says; and a lease confirmed
//! just before.

use std::sync::Arc;
use std::time::Duration;

use pgdump_archive::Index;
use tracing::warn;

use crate::code::Code;
use crate::dump::CleanExit;
use crate::fault::Fault;
use crate::job::abort::abort;
use crate::job::cancel::CancelReason;
use crate::job::error::{AttemptError, InStep, Step};
use crate::job::job_context::JobContext;
use crate::pipeline::Streamed;
use crate::queue::Beat;
use crate::store::{Manifest, ObjectKey, Storage, StoredObject, Upload, in_time};

/// How long a storage may take to remove an object that is not a backup.
const REMOVE_LIMIT: Duration = Duration::from_secs(30);

/// What an upload must have behind it to become a backup. There are two kinds; each can be made only by the check that
/// it stands for.
pub(super) trait Proof {
    /// The bytes that were sent to the upload.
    fn size(&self) -> u64;

    /// Where the archive's data is, for the manifest.
    fn index(&self) -> Option<&Arc<Index>>;
}

/// Of a dump: pg_dump ended with status 0, and its archive was read to the end.
impl Proof for (&CleanExit, &Streamed) {
    fn size(&self) -> u64 {
        self.1.size()
    }

    fn index(&self) -> Option<&Arc<Index>> {
        self.1.index()
    }
}

/// What is needed to publish, beside the proof.
pub(super) struct Publication<'a> {
    pub(super) context: JobContext<'a>,
    pub(super) storage: &'a Storage,
    /// How long the storage may take for each step, or with what it is sent for the next bytes.
    pub(super) limit: Duration,
    /// Roles and tablespaces as they will be beside the archive.
    pub(super) globals: Option<&'a [u8]>,
}

/// Confirms the lease, commits the archive, then writes what lies beside it, and last the manifest, which is what makes the
/// backup exist.
///
/// A cancel that was asked for before the confirmation wins; a later one loses.
///
/// # Errors
/// No backup exists, as far as the storage answers. Where it does not, or goes once the manifest is written, a whole
/// one may be there: the next attempt finds it under the key that was recorded, and adopts it.
pub(super) async fn publish<P: Proof>(
    proof: &P,
    upload: Upload,
    publication: Publication<'_>,
    manifest: impl FnOnce(&P) -> Manifest,
) -> Result<Manifest, AttemptError> {
    let Publication {
        context,
        storage,
        limit,
        globals,
    } = publication;
    if let Err(stop) = confirm(context).await {
        abort(upload).await;
        return Err(stop);
    }
    let stored = in_time(limit, upload.commit()).await;
    let stored = stored.in_step(Step::Publish)?;
    if context.cancel.reason() == Some(CancelReason::LeaseLost) {
        // Lost while the object was being made durable: no manifest, so no backup.
        remove(storage, &stored.key).await;
        return Err(AttemptError::Cancelled);
    }
    let manifest = manifest(proof);
    let key = manifest.object.key.clone();
    let written = async {
        expect_size(&stored, proof.size())?;
        if let Some(globals) = globals {
            storage.write_globals(&key, globals.to_vec()).await?;
        }
        storage.write_manifest(&manifest, proof.index()).await
    };
    // A large manifest over a slow link takes its time, and moves.
    match storage.moved().in_time(limit, written).await {
        Ok(()) => Ok(manifest),
        Err(fault) => {
            // The answer may be wrong: what can be read back whole is a backup, where it can be found.
            let kept = storage.find_backup(&key, limit).await;
            if let Ok(Some(manifest)) = kept
                && let Ok(()) = in_time(limit, storage.confirm()).await
            {
                warn!(
                    "the manifest is there although its write failed: {}",
                    fault.report()
                );
                return Ok(manifest);
            }
            remove(storage, &stored.key).await;
            Err(fault).in_step(Step::Publish)
        }
    }
}

fn expect_size(stored: &StoredObject, sent: u64) -> Result<(), Fault> {
    if stored.size == sent {
        return Ok(());
    }
    let what = format!(
        "the storage holds {} bytes of {}, {sent} were sent",
        stored.size, stored.key
    );
    Err(Fault::transient(Code::StoredSizeDiffers, what))
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
async fn confirm(context: JobContext<'_>) -> Result<(), AttemptError> {
    let JobContext {
        services,
        job,
        reporter,
        cancel,
        ..
    } = context;
    let progress = reporter.progress();
    let beat = context.until_answered("the queue could not confirm the lease", || {
        let lease_time = services.daemon.lease;
        services.queue.heartbeat(&job.lease, lease_time, &progress)
    });
    let reason = match beat.await? {
        Beat::Renewed { cancel: false } => return Ok(()),
        Beat::Renewed { cancel: true } => CancelReason::Requested,
        Beat::LeaseLost => CancelReason::LeaseLost,
    };
    cancel.request(reason);
    Err(AttemptError::Cancelled)
}

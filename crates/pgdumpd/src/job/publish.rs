//! The only place where an upload is committed. What it takes proves what it needs: pg_dump's clean exit,
//! the archive's end, and a lease confirmed just before.

use crate::dump::CleanExit;
use crate::fault::Fault;
use crate::job::halt::{Halt, HaltSwitch};
use crate::job::stop::{InStep, Step, Stop};
use crate::pipeline::Streamed;
use crate::queue::{Beat, Lease, Progress, Queue};
use crate::store::{Manifest, Storage, Upload};

/// What is needed to publish, beside the proofs.
pub(super) struct Publication<'a> {
    pub(super) queue: &'a Queue,
    pub(super) lease: &'a Lease,
    pub(super) lease_time: std::time::Duration,
    pub(super) progress: Progress,
    pub(super) storage: &'a Storage,
    pub(super) switch: &'a HaltSwitch,
}

/// Confirms the lease, commits the object, then writes the manifest, which is what makes the backup exist.
///
/// A cancel that was asked for before the confirmation wins; a later one loses. On an error nothing of the
/// object stays visible.
pub(super) async fn publish(
    exit: &CleanExit,
    streamed: &Streamed,
    upload: Upload,
    publication: Publication<'_>,
    manifest: impl FnOnce(&CleanExit, &Streamed) -> Manifest,
) -> Result<Manifest, Stop> {
    let key = upload.key().clone();
    if let Err(stop) = confirm(&publication).await {
        if let Err(fault) = upload.abort().await {
            tracing::warn!("the upload could not be removed: {}", fault.report());
        }
        return Err(stop);
    }
    let stored = upload.commit().await.in_step(Step::Publish)?;
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
        let manifest = manifest(exit, streamed);
        publication.storage.write_manifest(&manifest).await?;
        Ok(manifest)
    };
    match written.await {
        Ok(manifest) => Ok(manifest),
        Err(fault) => {
            if let Err(left) = publication.storage.remove_partial(&key, None).await {
                tracing::warn!("the object could not be removed: {}", left.report());
            }
            Err(fault).in_step(Step::Publish)
        }
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
                    () = tokio::time::sleep(std::time::Duration::from_millis(300)) => {}
                }
            }
        }
    }
}

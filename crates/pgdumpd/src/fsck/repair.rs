//! Does what findings allow, each after another check: what has become a backup, or is in use, is left alone.

use super::finding::{Finding, Remedy};
use crate::code::Code;
use crate::fault::Fault;
use crate::queue::Queue;
use crate::readback::record_backup;
use crate::store::{ObjectKey, Storage};

/// What came of a remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// It is done.
    Done,
    /// It is another thing by now, and was left alone.
    Changed,
}

/// Applies a finding's remedy, if it has one.
///
/// # Errors
/// The storage's, or the queue's as a fault.
pub async fn repair(
    finding: &Finding,
    storage: &Storage,
    queue: &Queue,
) -> Result<Option<Repaired>, Fault> {
    let Some(remedy) = &finding.remedy else {
        return Ok(None);
    };
    let done = match remedy {
        Remedy::RemoveScrap => storage.remove_scrap(&finding.key).await.map(|()| true)?,
        Remedy::RemoveAttempt { token } => {
            let key = key_of(finding)?;
            // No attempt begins again under the same token: what is not in use now never will be.
            if queue.attempt_is_in_use(*token).await?
                || queue.key_is_recorded(&finding.key).await?
                || storage.has_manifest(&key).await?
            {
                false
            } else {
                storage.remove_partial(&key, None).await?;
                true
            }
        }
        Remedy::AbortUpload { token, upload_id } => {
            let in_use = queue.attempt_is_in_use(*token).await?;
            if !in_use {
                storage.abort_upload(&key_of(finding)?, upload_id).await?;
            }
            !in_use
        }
        Remedy::RemoveTemporaries { token } => {
            let key = key_of(finding)?;
            let in_use = queue.attempt_is_in_use(*token).await?;
            if !in_use {
                storage.remove_temporaries(&key).await?;
            }
            !in_use
        }
        Remedy::NoteDeleted => {
            let key = key_of(finding)?;
            let gone =
                !storage.has_manifest(&key).await? && storage.object_size(&key).await?.is_none();
            // Where the storage has gone meanwhile, nothing of it has.
            storage.confirm().await?;
            gone && {
                let recorded = queue.mark_copy_deleted(storage.id(), key.as_str());
                recorded.await?
            }
        }
        Remedy::FinishDeletion => {
            let key = key_of(finding)?;
            // What is being deleted never becomes a backup again: its key is that of one attempt.
            storage.delete_backup(&key).await?;
            // There may be no row of it.
            let recorded = queue.mark_copy_deleted(storage.id(), key.as_str());
            recorded.await.map(|_| true)?
        }
        Remedy::NoteCopy { size_bytes } => match finding.job {
            Some(job) => {
                let key = key_of(finding)?;
                let whole = storage.has_manifest(&key).await?
                    && storage.object_size(&key).await? == Some(*size_bytes);
                whole && record_backup(queue, storage, job, &key, *size_bytes).await?
            }
            None => false,
        },
    };
    Ok(Some(if done {
        Repaired::Done
    } else {
        Repaired::Changed
    }))
}

fn key_of(finding: &Finding) -> Result<ObjectKey, Fault> {
    ObjectKey::parse(&finding.key).map_err(|error| {
        Fault::permanent(Code::Internal, "a finding's key is none").caused_by(error)
    })
}

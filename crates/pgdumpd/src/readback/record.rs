//! Records in the queue a backup that a storage holds and whose job ended without recording it.

use uuid::Uuid;

use crate::fault::Fault;
use crate::queue::Queue;
use crate::store::{ObjectKey, Storage};

/// Records a whole backup. False: it is not recorded, because the queue has another one of the job in this storage, or
/// because it was deleted at this moment.
///
/// # Errors
/// The storage's, or the queue's as a fault. May be repeated.
pub async fn record_backup(
    queue: &Queue,
    storage: &Storage,
    backup: Uuid,
    key: &ObjectKey,
    size_bytes: u64,
) -> Result<bool, Fault> {
    let (name, id) = (storage.name(), storage.id());
    let recorded = queue
        .record_copy(backup, name, id, key.as_str(), size_bytes)
        .await?;
    if !recorded || storage.has_manifest(key).await? {
        return Ok(recorded);
    }
    // Who deletes takes the manifest first and says so in the row last: that may have been after the storage was read
    // and before this was recorded.
    storage.confirm().await?;
    queue.mark_copy_deleted(id, key.as_str()).await?;
    Ok(false)
}

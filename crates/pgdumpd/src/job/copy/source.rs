//! Finds a backup in one of the storages that hold it.

use std::sync::Arc;
use std::time::Duration;

use pgdump_archive::Index;

use super::CopyJob;
use crate::code::Code;
use crate::fault::Fault;
use crate::queue::CopyRow;
use crate::readback::compare_with_row;
use crate::store::{Manifest, ObjectKey, Storage, in_time};

/// How often the queue is asked whether a backup that is gone was deleted, and between which pauses: whoever deletes
/// it records that a moment later.
const DELETED: (u32, Duration) = (10, Duration::from_millis(200));

/// A backup that can be read.
pub(super) struct Source {
    pub(super) storage: Storage,
    pub(super) manifest: Manifest,
    pub(super) index: Option<Arc<Index>>,
}

/// What became of the search in one storage.
pub(super) enum Found {
    Source(Box<Source>),
    /// It was there, and was deleted in good order.
    Deleted,
    Unusable(Fault),
}

impl CopyJob<'_> {
    /// Opens the backup where the queue says that it is.
    pub(super) async fn find(&self, held: &CopyRow) -> Found {
        match self.look(held).await {
            Ok(Some(source)) => Found::Source(Box::new(source)),
            Ok(None) if self.was_deleted(held).await => Found::Deleted,
            Ok(None) => Found::Unusable(missing(held)),
            Err(fault) => Found::Unusable(fault),
        }
    }

    /// `None` if it has no manifest, so that there is no such backup.
    async fn look(&self, held: &CopyRow) -> Result<Option<Source>, Fault> {
        let CopyRow { storage: name, .. } = held;
        let away = |id| {
            let what = format!("storage \"{name}\" with the id {id} is not configured here");
            Fault::transient(Code::CopySourceAway, what)
                .hint("A daemon that has both storages in its configuration makes the copy.")
        };
        let opened = self.context.catalog.open_by_id(name, held.storage_id);
        let storage = in_time(self.limit(), opened).await?;
        let storage = storage.ok_or_else(|| away(held.storage_id))?;
        let key = ObjectKey::parse(&held.object_key).map_err(|error| {
            Fault::permanent(Code::KeyUnreadable, "the backup's object key is unreadable")
                .caused_by(error)
        })?;
        let read = storage.read_manifest_to_copy(&key);
        let Some((manifest, index)) = in_time(self.limit(), read).await? else {
            return Ok(None);
        };
        if manifest.backup_id != self.order.of {
            let text = format!("{} is the manifest of another backup", key.manifest());
            return Err(Fault::permanent(Code::CopySourceDamaged, text));
        }
        compare_with_row(&manifest, held.size_bytes.try_into().ok(), &held.recorded)?;
        Ok(Some(Source {
            storage,
            manifest,
            index: index.map(Arc::new),
        }))
    }

    /// Whether the queue does not know the backup there any more. Asks once.
    pub(super) async fn is_gone(&self, held: &CopyRow) -> bool {
        let recorded = self.context.services.queue.copies_of(self.order.of).await;
        let still = |copy: &CopyRow| copy.storage_id == held.storage_id;
        recorded.is_ok_and(|copies| !copies.iter().any(still))
    }

    async fn was_deleted(&self, held: &CopyRow) -> bool {
        let (times, pause) = DELETED;
        for _ in 0..times {
            if self.is_gone(held).await {
                return true;
            }
            tokio::time::sleep(pause).await;
        }
        false
    }
}

fn missing(held: &CopyRow) -> Fault {
    let text = format!(
        "storage \"{}\" does not hold the backup that it should, under {}",
        held.storage, held.object_key
    );
    Fault::permanent(Code::CopySourceMissing, text).hint(
        "Somebody removed its files by hand, or the storage has lost them. If that was meant, `pgdumpd delete ID --yes` records it in the queue.",
    )
}

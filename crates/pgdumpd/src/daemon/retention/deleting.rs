//! Deletes backups, each after the queue has decided once more that it may go.

use tracing::{debug, info, warn};
use uuid::Uuid;

use super::judging::{Backup, Judged};
use crate::fault::chain;
use crate::queue::{KeptBackup, Queue};
use crate::retention::{Rules, Standing};
use crate::store::{ObjectKey, Storage};
use crate::telemetry::{BACKUP_DELETED, BACKUP_NOT_DELETED};

/// Where backups are deleted.
pub(super) struct Deleting<'a> {
    pub(super) queue: &'a Queue,
    pub(super) storage: &'a Storage,
    pub(super) target: &'a str,
}

impl Deleting<'_> {
    /// Finishes what any daemon has begun to delete: what is marked so is not a backup any more.
    ///
    /// # Errors
    /// The storage is not where it was.
    pub(super) async fn finish_begun(&self, recorded: &[KeptBackup]) -> Result<(), String> {
        // An adopted clone's rows name the keys of the original, which has an id of its own.
        let prefix = ObjectKey::prefix(self.queue.id(), self.target);
        for recorded in recorded {
            let key = ObjectKey::parse(&recorded.object_key);
            if let Ok(key) = key
                && recorded.deleting
                && recorded.object_key.starts_with(&prefix)
            {
                self.carry_out(recorded.job, &key, None).await?;
            }
        }
        Ok(())
    }

    /// Deletes what the rules no longer keep, of the databases that were just backed up. Says how many.
    ///
    /// # Errors
    /// The queue cannot be asked, or the storage is not where it was.
    pub(super) async fn delete(
        &self,
        judged: &Judged,
        rules: Rules,
        pinned: &[String],
    ) -> Result<usize, String> {
        let touched: Vec<&Backup> = judged
            .backups
            .iter()
            .filter(|backup| judged.databases.contains(backup.scope.database()))
            .collect();
        let candidates: Vec<_> = touched
            .iter()
            .map(|backup| (backup.scope.clone(), backup.standing))
            .collect();
        let expired = rules.expired(&candidates);
        let mut deleted = 0;
        // The oldest first: whatever interrupts this, what stays is the newest.
        for (backup, grounds) in touched.iter().zip(expired).rev() {
            let Some(grounds) = grounds else {
                continue;
            };
            if pinned.iter().any(|key| key == backup.key.as_str()) {
                continue;
            }
            let kept: Vec<String> = grounds
                .kept
                .iter()
                .filter_map(|index| touched.get(*index))
                .map(|backup| backup.key.to_string())
                .collect();
            if self.begin(backup, &kept).await?
                && self
                    .carry_out(backup.job, &backup.key, Some(backup))
                    .await?
            {
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    async fn begin(&self, backup: &Backup, kept: &[String]) -> Result<bool, String> {
        let at_least = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let begun =
            self.queue
                .begin_deletion(self.storage.id(), backup.key.as_str(), kept, at_least);
        let begun = begun.await.map_err(|error| chain(&error))?;
        if !begun {
            debug!(
                job.id = %backup.job,
                object.key = %backup.key,
                "an old backup stays: a copy reads it, or what was to be kept in its place is gone"
            );
        }
        Ok(begun)
    }

    /// Deletes what is marked, and records that. False where it could not be deleted: the next application tries again.
    async fn carry_out(
        &self,
        job: Uuid,
        key: &ObjectKey,
        backup: Option<&Backup>,
    ) -> Result<bool, String> {
        if let Err(fault) = self.storage.delete_backup(key).await {
            // Where the storage has gone, nothing more is begun.
            let confirmed = self.storage.confirm().await;
            confirmed.map_err(|fault| fault.report())?;
            warn!(
                event = %BACKUP_NOT_DELETED,
                job.id = %job,
                object.key = %key,
                "an old backup could not be deleted: {}",
                fault.report()
            );
            return Ok(false);
        }
        info!(
            event = %BACKUP_DELETED,
            job.id = %job,
            object.key = %key,
            object.size_bytes = backup.filter(|b| b.standing == Standing::Good).map(|b| b.size_bytes),
            "deleted a backup that is no longer kept"
        );
        let recorded = self
            .queue
            .mark_copy_deleted(self.storage.id(), key.as_str());
        if let Err(error) = recorded.await {
            warn!(
                job.id = %job,
                error = &error as &dyn std::error::Error,
                "the queue could not record yet that a backup is deleted"
            );
        }
        Ok(true)
    }
}

//! What attempts left that did not become backups: objects, temporary files, uploads.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Judge, Parts, StorageReport};
use crate::fsck::finding::Remedy;
use crate::store::{FoundObject, Name, ObjectKey};

impl Judge<'_> {
    /// What has no manifest is not a backup.
    pub(super) fn leftover(
        &self,
        key: &ObjectKey,
        job: Uuid,
        token: Uuid,
        parts: &Parts<'_>,
        report: &mut StorageReport,
    ) {
        if self.is_being_deleted(key.as_str()) {
            return;
        }
        if self
            .copies
            .get(key.as_str())
            .is_some_and(|copy| copy.is_stored())
        {
            if parts.archive.is_some() {
                report.findings.push(
                self.error("row_without_manifest", key, job)
                    .message("the queue says that a backup is stored here, but its manifest is gone")
                    .advises("Find out who removed it. The archive may be whole: check it with pg_restore; nothing is removed."),
            );
            }
            // Else the row itself is reported; what is left of it is reported once the row is repaired.
            return;
        }
        let kept = [parts.archive, parts.globals];
        let objects: Vec<&FoundObject> = kept.into_iter().flatten().collect();
        if let Some(object) = objects.first() {
            let newest = objects.iter().map(|object| object.modified_at).max();
            let newest = newest.unwrap_or(object.modified_at);
            if self.is_explained(token, newest) {
                report.explained += 1;
            } else {
                let size = objects.iter().map(|object| object.size_bytes).sum();
                report.findings.push(
                    self.warning("object_without_manifest", key, job)
                        .of_size(size, Some(self.age.of(newest)))
                        .message("left by an attempt that did not become a backup")
                        .repair_with(Remedy::RemoveAttempt { token }),
                );
                return;
            }
        }
        self.temporaries(key, job, token, parts, report);
    }

    pub(super) fn temporaries(
        &self,
        key: &ObjectKey,
        job: Uuid,
        token: Uuid,
        parts: &Parts<'_>,
        report: &mut StorageReport,
    ) {
        let Some(newest) = parts.temporaries.iter().map(|t| t.modified_at).max() else {
            return;
        };
        if self.is_explained(token, newest) {
            report.explained += 1;
            return;
        }
        let size = parts.temporaries.iter().map(|t| t.size_bytes).sum();
        report.findings.push(
            self.warning("temporary_left", key, job)
                .of_size(size, Some(self.age.of(newest)))
                .message("a file that was being written when its daemon was killed")
                .repair_with(Remedy::RemoveTemporaries { token }),
        );
    }

    /// Whether an attempt may still be at work there, or a daemon will clean up after it, or it is too young to decide.
    fn is_explained(&self, token: Uuid, newest: DateTime<Utc>) -> bool {
        let in_use = self
            .attempts
            .get(&token)
            .is_some_and(|attempt| attempt.running || !attempt.job_has_ended);
        in_use || !self.age.is_safe(newest)
    }

    pub(super) fn uploads(&self, report: &mut StorageReport) {
        for upload in self.contents.uploads.iter().flatten() {
            let Name::Part(part) = Name::of(&upload.key) else {
                report.unknown.push(upload.key.clone());
                continue;
            };
            if part.queue_id != self.queue_id {
                report.foreign += 1;
                continue;
            }
            if self.is_explained(part.token, upload.started_at) {
                report.explained += 1;
                continue;
            }
            report.findings.push(
                self.warning("upload_unfinished", &part.archive, part.job)
                    .aged(self.age.of(upload.started_at))
                    .message("an upload that has begun but not ended; its parts cost money")
                    .repair_with(Remedy::AbortUpload {
                        token: part.token,
                        upload_id: upload.upload_id.clone(),
                    }),
            );
        }
        if self.contents.uploads.is_some() {
            return;
        }
        // What the storage does not list, the queue may know.
        for attempt in self.attempts.values() {
            let (Some(upload_id), false) = (&attempt.upload_id, attempt.cleared) else {
                continue;
            };
            let ended = attempt.job_has_ended && !attempt.running;
            let succeeded = self.copies.contains_key(attempt.object_key.as_str());
            // An adopted clone knows the original's attempts, which may well run there.
            let key = match Name::of(&attempt.object_key) {
                Name::Part(part) if part.queue_id == self.queue_id => part.archive,
                _ => continue,
            };
            let has_manifest = self.contents.manifests.contains_key(&key);
            if attempt.storage_id == self.contents.id && ended && !succeeded && !has_manifest {
                report.findings.push(
                    self.warning("upload_unfinished", &key, attempt.job)
                        .message(
                            "an upload that the queue knows, of an attempt that was not cleaned up",
                        )
                        .repair_with(Remedy::AbortUpload {
                            token: attempt.token,
                            upload_id: upload_id.clone(),
                        }),
                );
            }
        }
    }
}

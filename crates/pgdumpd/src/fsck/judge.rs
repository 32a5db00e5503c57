//! Findings from the facts of one storage: pure rules.

mod leftovers;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::finding::{Finding, Remedy};
use crate::code::Code;
use crate::fault::Fault;
use crate::queue::{Audit, AuditedAttempt, AuditedCopy, CopyState, Traces};
use crate::readback::compare_with_row;
use crate::store::{FoundObject, Manifest, Name, ObjectKey, Part, PartKind, UnfinishedUpload};

/// What one storage holds.
#[derive(Debug)]
pub struct StorageContents {
    /// Its name in the configuration.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Everything in it.
    pub objects: Vec<FoundObject>,
    /// The manifests of this queue's backups, by their archives' keys.
    pub manifests: BTreeMap<ObjectKey, Result<Manifest, Fault>>,
    /// Uploads of this queue that were begun and not ended; `None` if the storage cannot tell.
    pub uploads: Option<Vec<UnfinishedUpload>>,
}

impl StorageContents {
    /// Where what is there comes from, by its names.
    pub(super) fn traces(&self) -> Traces {
        let objects = self.objects.iter().map(|object| &object.key);
        let uploads = self.uploads.iter().flatten().map(|upload| &upload.key);
        let mut traces = Traces::default();
        for key in objects.chain(uploads) {
            if let Name::Part(part) = Name::of(key) {
                traces.jobs.insert(part.job);
                traces.tokens.insert(part.token);
            }
        }
        traces
    }
}

/// How old what is left must be before it may be removed: older than any attempt takes, and than clocks differ.
#[derive(Debug, Clone, Copy)]
pub struct Age {
    /// By the queue's clock.
    pub now: DateTime<Utc>,
    /// Safe to remove from this age on.
    pub safe: chrono::TimeDelta,
}

impl Age {
    fn of(&self, time: DateTime<Utc>) -> std::time::Duration {
        (self.now - time).to_std().unwrap_or_default()
    }

    fn is_safe(&self, time: DateTime<Utc>) -> bool {
        self.now - time >= self.safe
    }
}

/// What was found, and how much needs no words.
#[derive(Debug, Default)]
pub struct StorageReport {
    /// In the order of the keys.
    pub findings: Vec<Finding>,
    /// Backups that are as they should be.
    pub good: usize,
    /// Things that are on their way, or that a daemon will see to.
    pub explained: usize,
    /// Objects of other queues.
    pub foreign: usize,
    /// Objects whose names are none of ours.
    pub unknown: Vec<String>,
}

impl StorageReport {
    /// Only what an earlier reading found, too: the others are in progress.
    #[must_use]
    pub(super) fn confirming(mut self, earlier: &Self) -> Self {
        let found: HashSet<(&str, &str)> = earlier
            .findings
            .iter()
            .map(|finding| (finding.code, finding.key.as_str()))
            .collect();
        let before = self.findings.len();
        self.findings
            .retain(|finding| found.contains(&(finding.code, finding.key.as_str())));
        self.explained += before - self.findings.len();
        self
    }
}

/// What belongs to one archive's key.
#[derive(Debug, Default)]
struct Parts<'a> {
    archive: Option<&'a FoundObject>,
    globals: Option<&'a FoundObject>,
    temporaries: Vec<&'a FoundObject>,
}

/// Judges a storage by what the queue said after the storage was listed.
pub fn judge(queue_id: Uuid, contents: &StorageContents, audit: &Audit, age: Age) -> StorageReport {
    let mut report = StorageReport::default();
    let mut parts: BTreeMap<(ObjectKey, Uuid, Uuid), Parts<'_>> = BTreeMap::new();
    for object in &contents.objects {
        match Name::of(&object.key) {
            Name::Marker => {}
            Name::Scrap if age.is_safe(object.modified_at) => {
                report.findings.push(scrap(contents, object, age));
            }
            Name::Scrap => report.explained += 1,
            Name::Part(part) if part.queue_id == queue_id => sort(&mut parts, part, object),
            Name::Part(_) => report.foreign += 1,
            Name::Unknown => report.unknown.push(object.key.clone()),
        }
    }
    let attempts: HashMap<Uuid, &AuditedAttempt> =
        audit.attempts.iter().map(|a| (a.token, a)).collect();
    let copies: HashMap<&str, &AuditedCopy> = audit
        .copies
        .iter()
        .filter(|copy| copy.storage_id == contents.id)
        .map(|copy| (copy.object_key.as_str(), copy))
        .collect();
    // A job has one row for each storage.
    let stored = copies.values().filter(|copy| copy.is_stored());
    let stored: HashMap<Uuid, &AuditedCopy> = stored.map(|copy| (copy.job, *copy)).collect();
    let judge = Judge {
        queue_id,
        contents,
        age,
        attempts: &attempts,
        copies: &copies,
        stored: &stored,
    };
    for ((key, job, token), parts) in &parts {
        match contents.manifests.get(key) {
            Some(manifest) => judge.backup(key, *job, *token, parts, manifest, &mut report),
            None => judge.leftover(key, *job, *token, parts, &mut report),
        }
    }
    judge.rows_without_anything(&mut report);
    judge.deletions(&mut report);
    judge.uploads(&mut report);
    report.findings.sort_by(|a, b| a.key.cmp(&b.key));
    report
}

fn sort<'a>(
    all: &mut BTreeMap<(ObjectKey, Uuid, Uuid), Parts<'a>>,
    part: Part,
    object: &'a FoundObject,
) {
    let parts = all.entry((part.archive, part.job, part.token)).or_default();
    match part.kind {
        _ if part.temporary => parts.temporaries.push(object),
        PartKind::Archive => parts.archive = Some(object),
        PartKind::Globals => parts.globals = Some(object),
        // Read and judged by itself.
        PartKind::Manifest => {}
    }
}

fn scrap(contents: &StorageContents, object: &FoundObject, age: Age) -> Finding {
    Finding::warning("temporary_left", &contents.name, &object.key)
        .of_object(object, age.of(object.modified_at))
        .message("a small file that a killed daemon or check left")
        .repair_with(Remedy::RemoveScrap)
}

struct Judge<'a> {
    queue_id: Uuid,
    contents: &'a StorageContents,
    age: Age,
    attempts: &'a HashMap<Uuid, &'a AuditedAttempt>,
    /// By object key.
    copies: &'a HashMap<&'a str, &'a AuditedCopy>,
    /// Those that are stored, by job.
    stored: &'a HashMap<Uuid, &'a AuditedCopy>,
}

impl Judge<'_> {
    fn error(&self, code: &'static str, key: &ObjectKey, job: Uuid) -> Finding {
        Finding::error(code, &self.contents.name, key.as_str()).of_job(job)
    }

    fn warning(&self, code: &'static str, key: &ObjectKey, job: Uuid) -> Finding {
        Finding::warning(code, &self.contents.name, key.as_str()).of_job(job)
    }

    /// What has a manifest is never removed here.
    fn backup(
        &self,
        key: &ObjectKey,
        job: Uuid,
        token: Uuid,
        parts: &Parts<'_>,
        manifest: &Result<Manifest, Fault>,
        report: &mut StorageReport,
    ) {
        if self.is_being_deleted(key.as_str()) {
            // The row itself is reported, with all that is left of the backup.
            return;
        }
        let before = report.findings.len();
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(fault) => {
                let finding = self.error("manifest_unreadable", key, job);
                report.findings.push(finding.message(fault.report()).advises(
                    "Check with pg_restore whether the archive beside it is whole, and keep it by hand; nothing is removed.",
                ));
                return;
            }
        };
        let wanted = &manifest.object;
        let damage = match parts.archive {
            None => Some(
                self.error(Code::ObjectMissing.as_str(), key, job)
                    .message("the manifest exists, but the archive is gone")
                    .advises(
                        "Find out who removed it; `pgdumpd delete --key` removes the manifest too.",
                    ),
            ),
            Some(object) if object.size_bytes != wanted.size_bytes => Some(
                self.error("size_differs", key, job)
                    .of_object(object, self.age.of(object.modified_at))
                    .message(format!("the manifest says {} bytes", wanted.size_bytes))
                    .advises("`pgdumpd verify` names the tables that are still good."),
            ),
            Some(_) => None,
        };
        let is_damaged = damage.is_some();
        report.findings.extend(damage);
        if let Some(globals) = &manifest.globals
            && parts.globals.map(|found| found.size_bytes) != Some(globals.size_bytes)
        {
            report.findings.push(
                self.error(Code::GlobalsDamaged.as_str(), key, job)
                    .message("the roles and tablespaces are gone, or have another size than the manifest says")
                    .advises("Take them from another backup of the server; the archive is a separate object."),
            );
        }
        if is_damaged {
            self.row_of_damaged(key, job, token, report)
        } else {
            self.row_of(key, job, token, manifest, report)
        }
        self.temporaries(key, job, token, parts, report);
        if report.findings.len() == before {
            report.good += 1;
        }
    }

    /// Whether the queue knows a backup that exists.
    fn row_of(
        &self,
        key: &ObjectKey,
        job: Uuid,
        token: Uuid,
        manifest: &Manifest,
        report: &mut StorageReport,
    ) {
        let size = manifest.object.size_bytes;
        let without_row = || {
            self.warning("backup_without_row", key, job)
                .of_size(size, None)
        };
        match (self.copies.get(key.as_str()), self.attempts.get(&token)) {
            (Some(copy), _) if copy.is_stored() && copy.size_bytes != size => report.findings.push(
                self.error("size_differs", key, job).message(format!(
                    "the queue says {} bytes, the manifest {size}",
                    copy.size_bytes
                )),
            ),
            (Some(copy), _) if copy.is_stored() => {
                if let Err(fault) = compare_with_row(manifest, None, &copy.recorded) {
                    report.findings.push(
                        self.error(Code::BackupDiffers.as_str(), key, job)
                            .of_size(size, None)
                            .message(fault.report())
                            .advises(
                                "Find out who put it there. `pgdumpd fetch ID` takes the backup from another storage that holds it.",
                            ),
                    );
                }
            }
            (Some(_), _) => report.findings.push(without_row().message(
                "a valid backup, but the queue says that it is deleted",
            ).advises("`pgdumpd delete --key` removes it; `pgdumpd fetch --storage` fetches it.")),
            (None, Some(attempt)) if !attempt.job_has_ended => report.explained += 1,
            (None, Some(attempt)) if attempt.deletion_requested => report
                .findings
                .push(self.deletion_unfinished(key, job).of_size(size, None)),
            (None, Some(_)) if self.has_another(key, job) => report.findings.push(
                Finding::note("backup_without_row", &self.contents.name, key.as_str())
                    .of_job(job)
                    .of_size(size, None)
                    .message("a second backup of its job, whose row has another one: the next attempt did not consider this one whole")
                    .advises("keep_last neither counts nor deletes it; `pgdumpd delete --key` removes it."),
            ),
            (None, Some(_)) => report.findings.push(
                without_row()
                    .message("a valid backup whose daemon died before it could end the job as succeeded")
                    .advises("--repair records it in the queue; `pgdumpd fetch --storage` fetches it in any case.")
                    .repair_with(Remedy::NoteCopy { size_bytes: size }),
            ),
            (None, None) => report.findings.push(
                Finding::note("backup_without_row", &self.contents.name, key.as_str())
                    .of_job(job)
                    .of_size(size, None)
                    .message("a valid backup whose job is not in the queue")
                    .advises("`pgdumpd fetch --storage` fetches it; --rebuild recreates its row."),
            ),
        }
    }

    /// What is damaged is already reported, and never recorded as a backup. Its deletion continues.
    fn row_of_damaged(&self, key: &ObjectKey, job: Uuid, token: Uuid, report: &mut StorageReport) {
        let attempt = self.attempts.get(&token);
        let is_noted = self.copies.contains_key(key.as_str());
        if attempt.is_some_and(|attempt| attempt.job_has_ended && attempt.deletion_requested)
            && !is_noted
        {
            report.findings.push(self.deletion_unfinished(key, job));
        }
    }

    fn deletion_unfinished(&self, key: &ObjectKey, job: Uuid) -> Finding {
        self.warning("deletion_unfinished", key, job)
            .message("its deletion was requested, but a daemon stored it nevertheless")
            .advises("A daemon that reaches the storage deletes it, and so does --repair.")
            .repair_with(Remedy::FinishDeletion)
    }

    fn is_being_deleted(&self, key: &str) -> bool {
        self.copies
            .get(key)
            .is_some_and(|copy| copy.state == CopyState::Deleting)
    }

    /// Deletions that were begun: a daemon is at work there, or died.
    fn deletions(&self, report: &mut StorageReport) {
        for copy in self.copies.values() {
            // An adopted clone knows the original's rows: their deletion is the original's.
            let own = matches!(Name::of(&copy.object_key), Name::Part(part) if part.queue_id == self.queue_id);
            if copy.state == CopyState::Deleting && own {
                report.findings.push(
                    Finding::warning("deletion_unfinished", &self.contents.name, &copy.object_key)
                        .of_job(copy.job)
                        .of_size(copy.size_bytes, None)
                        .message("its deletion by keep_last has begun but not ended")
                        .advises(
                            "A daemon that reaches the storage finishes it, and so does --repair.",
                        )
                        .repair_with(Remedy::FinishDeletion),
                );
            }
        }
    }

    /// Whether the queue records a backup of the job here under another key: it can record one for each storage.
    fn has_another(&self, key: &ObjectKey, job: Uuid) -> bool {
        let stored = self.stored.get(&job);
        stored.is_some_and(|copy| copy.object_key != key.as_str())
    }

    /// Also of keys with another queue's id: an adopted clone knows the original's backups.
    fn rows_without_anything(&self, report: &mut StorageReport) {
        let there: HashSet<&str> = self
            .contents
            .objects
            .iter()
            .map(|o| o.key.as_str())
            .collect();
        for copy in self.copies.values() {
            let manifest = ObjectKey::parse(&copy.object_key).map(|key| key.manifest());
            let found = there.contains(copy.object_key.as_str())
                || manifest.is_ok_and(|manifest| there.contains(manifest.as_str()));
            if copy.is_stored() && !found {
                report.findings.push(
                    Finding::error("row_without_object", &self.contents.name, &copy.object_key)
                        .of_job(copy.job)
                        .of_size(copy.size_bytes, None)
                        .message("the queue says that a backup is stored here, but nothing of it is")
                        .advises(
                            "Find out who removed it; --repair records in the queue that it is gone.",
                        )
                        .repair_with(Remedy::NoteDeleted),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;

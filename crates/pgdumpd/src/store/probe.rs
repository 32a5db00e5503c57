//! What would fail tonight: a storage tried with a small object, and an object store with an upload too.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use super::key::{ARCHIVE_SUFFIX, ObjectKey};
use super::name::{Name, PROBE_PREFIX};
use super::remote::Remote;
use super::remote::uploads::UnfinishedUpload;
use super::room::no_room;
use super::small::Small;
use super::{Place, Storage, blocking, faults};
use crate::code::Code;
use crate::fault::Fault;
use crate::finding::Finding;

/// Probes that are under way: a process that ends in their midst would leave them.
static UNDER_WAY: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Waits until no probe of this process is under way, for so long at most.
pub async fn probes_ended(limit: Duration) {
    UNDER_WAY.close();
    let ended = tokio::time::timeout(limit, UNDER_WAY.wait()).await;
    if ended.is_err() {
        tracing::debug!("a check of a storage was abandoned");
    }
}

/// A probe that is older was left by a check that was killed: none takes so long.
const OLD_PROBE: TimeDelta = TimeDelta::hours(1);

/// An upload that has been under way for longer than any dump takes was left behind.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(2);

impl Storage {
    /// Writes, reads and deletes a small object, measures free space, and checks who may read the root; in an object
    /// store starts an upload and aborts it, and lists uploads that were left behind.
    ///
    /// May be dropped at any point: what was begun ends by itself, so that nothing of it is left.
    pub async fn probe(&self) -> Vec<Finding> {
        let storage = self.clone();
        let probing = UNDER_WAY.spawn(async move { storage.probe_all().await }.in_current_span());
        probing.await.unwrap_or_else(|error| {
            let fault = Fault::transient(Code::Internal, "the check of a storage ended");
            vec![(&fault.caused_by(error)).into()]
        })
    }

    async fn probe_all(&self) -> Vec<Finding> {
        let mut findings = vec![self.probe_object().await];
        findings.extend(self.probe_space().await);
        findings.extend(self.probe_mode().await);
        if let Place::Remote(remote) = &self.place {
            findings.extend(self.probe_uploads(remote).await);
        }
        findings
    }

    /// Starts an upload, lists all uploads, and aborts it: its own start shows the storage's time.
    async fn probe_uploads(&self, remote: &Remote) -> Vec<Finding> {
        let name = format!("{PROBE_PREFIX}{}{ARCHIVE_SUFFIX}", Uuid::new_v4());
        let begun = match ObjectKey::parse(&name) {
            Ok(key) => self.begin(&key, Some(0)).await,
            Err(error) => {
                Err(Fault::permanent(Code::Internal, "a probe has no key").caused_by(error))
            }
        };
        let upload = match begun {
            Ok(upload) => upload,
            Err(fault) => return vec![(&fault).into()],
        };
        let listed = self.uploads_below("").await;
        let mut findings = vec![match upload.abort().await {
            Ok(()) => Finding::ok(format!(
                "uploads of up to {} parts can be begun and aborted",
                remote.limits.max_parts
            )),
            Err(fault) => (&fault).into(),
        }];
        findings.extend(match listed {
            Ok(Some(uploads)) => self.forgotten(&uploads, &name),
            Ok(None) if remote.forgets_by_itself => None,
            Ok(None) => {
                let what = "unfinished uploads cannot be listed here";
                Some(Finding::ok(what).hint(
                    "Give the bucket a rule that aborts unfinished uploads after some days: they cost money and are not listed as objects.",
                ))
            }
            Err(fault) => Some((&fault).into()),
        });
        findings
    }

    fn forgotten(&self, uploads: &[UnfinishedUpload], ours: &str) -> Option<Finding> {
        let now = uploads.iter().find(|upload| upload.key == ours)?.started_at;
        let old = |upload: &&UnfinishedUpload| now - upload.started_at > FORGOTTEN_AFTER;
        let count = uploads.iter().filter(old).count();
        let oldest = uploads
            .iter()
            .filter(old)
            .map(|upload| upload.started_at)
            .min()?;
        let what = format!(
            "{count} unfinished uploads are in storage \"{}\", the oldest since {}",
            self.name,
            oldest.format("%F %T UTC")
        );
        Some(Finding::warning("uploads_unfinished", what).hint(
            "List them with `pgdumpd fsck`, and give the bucket a rule that aborts unfinished uploads after some \
             days.",
        ))
    }

    async fn probe_object(&self) -> Finding {
        match self.write_read_delete().await {
            Ok(()) => Finding::ok(format!(
                "storage \"{}\" can be written, read and deleted from (id {})",
                self.name, self.id
            )),
            Err(fault) => (&fault).into(),
        }
    }

    async fn write_read_delete(&self) -> Result<(), Fault> {
        // Random: several daemons probe one storage at once. No archive's or manifest's name, so never listed.
        let key = format!("{PROBE_PREFIX}{}", Uuid::new_v4());
        let content = Uuid::new_v4().to_string().into_bytes();
        self.put(key.clone(), content.clone()).await?;
        let read = self.read_small(&key, content.len() as u64).await;
        let old = self.remove_old_probes(&key).await;
        // Deleted whatever was read; the first failure is the one reported.
        let removed = self.remove(key.clone()).await;
        if !matches!(read?, Small::Whole(read) if read == content) {
            let what = format!("{key} read back is not what was written");
            return Err(Fault::permanent(Code::StorageFailed, what).hint(
                "Check the file system and its disk: it does not keep what is written to it.",
            ));
        }
        old?;
        removed.map(drop)
    }

    /// Removes what checks left that were killed. How old that is, the storage's own clock says, by the probe of now.
    async fn remove_old_probes(&self, ours: &str) -> Result<(), Fault> {
        let mut probes = self.objects_in_root().await?;
        probes.retain(|object| Name::of(&object.key) == Name::Scrap && is_probe(&object.key));
        let Some(now) = probes.iter().find(|probe| probe.key == ours) else {
            return Ok(());
        };
        let now = now.modified_at;
        for probe in probes {
            if now - probe.modified_at > OLD_PROBE {
                self.remove(probe.key).await?;
            }
        }
        Ok(())
    }

    async fn probe_space(&self) -> Option<Finding> {
        let Place::Local { min_free, .. } = &self.place else {
            return None;
        };
        let Some(free) = self.free_space().await else {
            let what = format!(
                "the free space of storage \"{}\" cannot be measured",
                self.name
            );
            return Some(Finding::warning("space_unknown", what));
        };
        if free < *min_free {
            let fault = no_room(format!(
                "storage \"{}\" has {free} bytes free, fewer than the {min_free} to be left",
                self.name
            ));
            return Some((&fault).into());
        }
        let what = format!("storage \"{}\" has {free} bytes free", self.name);
        Some(Finding::ok(what))
    }

    async fn probe_mode(&self) -> Option<Finding> {
        let Place::Local { root, .. } = &self.place else {
            return None;
        };
        let root = root.clone();
        let path = root.path().to_owned();
        let shown = path.display();
        let mode = blocking(move || {
            let what = || format!("cannot inspect {}", root.path().display());
            root.mode()
                .map_err(|e| faults::of_io(what(), root.path(), e))
        })
        .await;
        match mode {
            Err(fault) => Some((&fault).into()),
            Ok(mode) if mode & 0o022 != 0 => Some(
                Finding::warning("storage_open_to_others", format!("{shown} can be written by others (mode {mode:o})"))
                    .hint(format!("Run `chmod 700 {shown}`: who can write there can replace or remove backups.")),
            ),
            Ok(mode) if mode & 0o055 != 0 => Some(
                Finding::warning("storage_open_to_others", format!("{shown} can be listed by others (mode {mode:o})"))
                    .hint(format!(
                        "Run `chmod 700 {shown}`: backups in it are private (0600), but their names are visible."
                    )),
            ),
            Ok(_) => None,
        }
    }
}

fn is_probe(key: &str) -> bool {
    key.starts_with(PROBE_PREFIX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use object_store::memory::InMemory;

    use super::*;
    use crate::finding::Severity;

    #[test]
    fn uploads_older_than_any_dump_are_warned_of_by_the_storages_clock() {
        let storage = Storage::over("s3", Uuid::new_v4(), Arc::new(InMemory::new()));
        let upload = |key: &str, hours: i64| UnfinishedUpload {
            key: key.to_owned(),
            upload_id: "1".to_owned(),
            started_at: DateTime::UNIX_EPOCH - TimeDelta::hours(hours),
        };
        let running = [upload("ours", 0), upload("a", 47)];
        assert_eq!(storage.forgotten(&running, "ours"), None);
        let left = [upload("a", 49), upload("ours", 0), upload("b", 72)];
        let finding = storage.forgotten(&left, "ours").unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.what.starts_with("2 unfinished"), "{}", finding.what);
        assert!(
            finding.what.contains("1969-12-29 00:00:00"),
            "{}",
            finding.what
        );
    }
}

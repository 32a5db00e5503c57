//! What would fail tonight: a storage tried with a small object, and an object store with an upload too.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use super::Storage;
use super::found::Reach;
use super::name::{Name, PROBE_PREFIX};
use super::small::Small;
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
        findings.extend(self.backend.probe(&self.name).await);
        findings
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
        self.backend.put(&key, content.clone()).await?;
        let read = self.backend.read_small(&key, content.len() as u64).await;
        let old = self.remove_old_probes(&key).await;
        // Deleted whatever was read; the first failure is the one reported.
        let removed = self.backend.remove(&key).await;
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
        let mut probes = self.backend.list("", Reach::Root).await?;
        probes.retain(|object| Name::of(&object.key) == Name::Scrap && is_probe(&object.key));
        let Some(now) = probes.iter().find(|probe| probe.key == ours) else {
            return Ok(());
        };
        let now = now.modified_at;
        for probe in probes {
            if now - probe.modified_at > OLD_PROBE {
                self.backend.remove(&probe.key).await?;
            }
        }
        Ok(())
    }
}

fn is_probe(key: &str) -> bool {
    key.starts_with(PROBE_PREFIX)
}

//! What would fail tonight: a storage tried with a small object.

use uuid::Uuid;

use super::{Place, Storage, blocking, faults};
use crate::fault::Fault;
use crate::finding::Finding;

/// What the name of a probe begins with.
pub(super) const PROBE_PREFIX: &str = "pgdumpd-probe-";

impl Storage {
    /// Writes, reads and deletes a small object, measures free space, and looks at who may read the root.
    pub async fn probe(&self) -> Vec<Finding> {
        let mut findings = vec![self.probe_object().await];
        findings.extend(self.probe_space().await);
        findings.extend(self.probe_mode().await);
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
        self.put(key.clone(), content.clone()).await?;
        let read = self.read_small(&key).await;
        // Deleted whatever was read; the first failure is the one told.
        let removed = self.remove(key.clone()).await;
        if read? != content {
            let what = format!("{key} read back is not what was written");
            return Err(Fault::permanent("storage_failed", what)
                .hint("Check the file system and its disk: it does not keep what it is given."));
        }
        removed.map(drop)
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
            let fault = faults::full(format!(
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
            let what = || format!("cannot look at {}", root.path().display());
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
                        "Run `chmod 700 {shown}`: backups in it are private (0600), but their names show."
                    )),
            ),
            Ok(_) => None,
        }
    }
}

//! Compares what a manifest says with what else is known of the same backup.

use super::key::ObjectKey;
use super::manifest::{Manifest, invalid};
use super::name::{Name, Part};
use crate::fault::Fault;

impl Manifest {
    /// Whether everything that a key says is what the manifest says, too.
    ///
    /// # Errors
    /// `manifest_invalid` names the first field that differs.
    pub(super) fn compare_with_key(&self, key: &ObjectKey) -> Result<(), Fault> {
        let Name::Part(part) = Name::of(key.as_str()) else {
            return Err(invalid(key, "lies under a name that no daemon gives"));
        };
        match self.differs_from_key(key, &part) {
            None => Ok(()),
            Some(field) => {
                let what = format!("does not fit its key: it has another {field}");
                Err(invalid(key, &what))
            }
        }
    }

    fn differs_from_key(&self, key: &ObjectKey, part: &Part) -> Option<&'static str> {
        let in_target = key
            .as_str()
            .strip_prefix(&ObjectKey::prefix(part.queue_id, &self.target));
        // Manifests of older versions do not say it.
        let month = self
            .claimed_at
            .map(|time| time.format("%Y/%m/").to_string());
        let in_month = |month: &String| in_target.is_none_or(|rest| rest.starts_with(month));
        let globals = self.globals.as_ref();
        [
            ("object.key", self.object.key == *key),
            ("queue_id", self.queue_id == part.queue_id),
            ("backup_id", self.backup_id == part.job),
            // A copy has the token of its own job's attempt.
            (
                "lease_token",
                self.copied.is_some() || self.lease_token == part.token,
            ),
            ("target", in_target.is_some()),
            ("claimed_at", month.as_ref().is_none_or(in_month)),
            (
                "encryption",
                self.encryption.is_some() == key.is_encrypted(),
            ),
            (
                "globals.key",
                globals.is_none_or(|globals| globals.key == key.globals()),
            ),
        ]
        .into_iter()
        .find_map(|(field, same)| (!same).then_some(field))
    }
}

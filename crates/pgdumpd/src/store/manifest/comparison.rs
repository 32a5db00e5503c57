//! Compares what a manifest says with what else is known of the same backup.

use pgdump_archive::{DataKind, Index, IndexEntry};

use super::{Archive, Manifest, invalid};
use crate::fault::Fault;
use crate::store::key::ObjectKey;
use crate::store::name::{Name, Part};

/// What an index counts of its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Blocks of tables' data.
    pub tables: u64,
    /// Rows of all of them; `None` if not all can be counted.
    pub rows: Option<u64>,
    /// Large objects.
    pub large_objects: Option<u64>,
    /// Bytes of rows and large objects before compression.
    pub raw_bytes: Option<u64>,
}

impl Counts {
    /// Of an archive with this index; any numbers in it are safe.
    pub fn of(index: &Index) -> Self {
        let is_table = |entry: &&IndexEntry| entry.kind == DataKind::Table;
        let sum = |number: fn(&IndexEntry) -> Option<u64>| {
            let mut numbers = index.entries.iter().map(number);
            numbers.try_fold(0_u64, |sum, number| sum.checked_add(number?))
        };
        Self {
            tables: index.entries.iter().filter(is_table).count() as u64,
            rows: sum(|entry| match entry.kind {
                DataKind::Table => entry.rows,
                _ => Some(0),
            }),
            large_objects: sum(|entry| Some(entry.large_objects.unwrap_or(0))),
            raw_bytes: sum(|entry| Some(entry.raw_bytes)),
        }
    }

    /// The fields in which a manifest differs: what it says, and what these are.
    pub fn differences(&self, archive: &Archive) -> Vec<(&'static str, Option<u64>, Option<u64>)> {
        [
            ("archive.tables", archive.tables, Some(self.tables)),
            ("archive.rows", archive.rows, self.rows),
            (
                "archive.large_objects",
                archive.large_objects,
                self.large_objects,
            ),
            ("archive.raw_bytes", archive.raw_bytes, self.raw_bytes),
        ]
        .into_iter()
        .filter(|(_, recorded, counted)| recorded != counted)
        .collect()
    }
}

impl Manifest {
    /// Whether everything that a key says is what the manifest says, too.
    ///
    /// # Errors
    /// `manifest_invalid` names the first field that differs.
    pub(in crate::store) fn compare_with_key(&self, key: &ObjectKey) -> Result<(), Fault> {
        let Name::Part(part) = Name::of(key.as_str()) else {
            return Err(invalid(key, "has a name that no daemon gives"));
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

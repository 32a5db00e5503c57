//! What part of a database a backup takes.

use serde::{Deserialize, Serialize};

/// The version of the spec that this crate writes.
pub const SPEC_VERSION: i16 = 1;

/// The part of a database that a backup takes; the default is all of it.
///
/// Patterns are those of `pg_dump` (`--schema`, `--table`, …): `public.orders_*`, `"Mixed Case"`. As with
/// `pg_dump`, naming schemas or tables leaves out what belongs to none: large objects, extensions, publications.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupSpec {
    /// Schemas to take (`--schema`); empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Schemas to leave out (`--exclude-schema`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// Tables to take (`--table`); empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Tables to leave out (`--exclude-table`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Tables whose definition is taken without its rows (`--exclude-table-data`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table_data: Vec<String>,
    /// A word of the caller's own, kept in the manifest and shown in lists; at most 200 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl BackupSpec {
    /// The pattern lists with their names.
    pub(crate) fn patterns(&self) -> [(&'static str, &[String]); 5] {
        [
            ("schemas", &self.schemas),
            ("exclude_schemas", &self.exclude_schemas),
            ("tables", &self.tables),
            ("exclude_tables", &self.exclude_tables),
            ("exclude_table_data", &self.exclude_table_data),
        ]
    }
}

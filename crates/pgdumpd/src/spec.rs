//! What a job's spec may ask for: which schemas and tables, and a label.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// Version 1 of `backup_jobs.spec`. Patterns are pg_dump's own (`-n`, `-N`, `-t`, `-T`, `--exclude-table-data`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Schemas to dump (`--schema`); empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Schemas to leave out (`--exclude-schema`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_schemas: Vec<String>,
    /// Tables to dump (`--table`); empty is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Tables to leave out (`--exclude-table`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_tables: Vec<String>,
    /// Tables whose rows are left out (`--exclude-table-data`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_table_data: Vec<String>,
    /// A word of the caller's own, kept in the manifest and shown in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// The versions of `backup_jobs.spec` that this build understands.
pub const SPEC_VERSIONS: &[i16] = &[1];

impl Spec {
    /// Reads a spec, naming the offending key where it is malformed.
    ///
    /// # Errors
    /// A permanent `spec_invalid`.
    pub fn parse(spec: &serde_json::Value) -> Result<Self, Fault> {
        Self::deserialize(spec).map_err(|error| {
            Fault::permanent("spec_invalid", "the job's spec is malformed")
                .hint("Known keys: schemas, exclude_schemas, tables, exclude_tables, exclude_table_data, label.")
                .caused_by(error)
        })
    }

    /// Whether any filter selects or leaves out objects, so that the backup is not of the whole database.
    pub fn is_partial(&self) -> bool {
        !(self.schemas.is_empty()
            && self.exclude_schemas.is_empty()
            && self.tables.is_empty()
            && self.exclude_tables.is_empty()
            && self.exclude_table_data.is_empty())
    }
}

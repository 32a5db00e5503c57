//! What a job's spec may ask for, as the daemon reads it. Its fields are the client's [`BackupSpec`].

use pgdumpd_client::BackupSpec;
use serde::Deserialize;

use crate::code::Code;
use crate::fault::Fault;

/// The versions of `backup_jobs.spec` that this build understands.
pub const SPEC_VERSIONS: &[i16] = &[pgdumpd_client::SPEC_VERSION];

/// Reads a spec, naming the offending key where it is malformed.
///
/// # Errors
/// A permanent `spec_invalid`.
pub fn parse(spec: &serde_json::Value) -> Result<BackupSpec, Fault> {
    BackupSpec::deserialize(spec).map_err(|error| {
        Fault::permanent(Code::SpecInvalid, "the job's spec is malformed")
            .hint("Known keys: schemas, exclude_schemas, tables, exclude_tables, exclude_table_data, label.")
            .caused_by(error)
    })
}

/// Whether any filter selects or leaves out objects, so that the backup is not of the whole database.
pub fn is_partial(spec: &BackupSpec) -> bool {
    !(spec.schemas.is_empty()
        && spec.exclude_schemas.is_empty()
        && spec.tables.is_empty()
        && spec.exclude_tables.is_empty()
        && spec.exclude_table_data.is_empty())
}

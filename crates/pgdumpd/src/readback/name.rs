//! How what is inside a backup is named to people.

use pgdump_archive::{IndexEntry, TableName};

/// `schema.name`, each part quoted where SQL needs it.
pub(crate) fn name_of(entry: &IndexEntry) -> String {
    match &entry.schema {
        Some(schema) => TableName::new(schema, &entry.name).to_string(),
        None => entry.name.clone(),
    }
}

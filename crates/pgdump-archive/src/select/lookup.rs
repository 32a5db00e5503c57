//! Finds a table by its name, or returns what else there is.

use super::{SelectError, TableName, role};
use crate::{Text, Toc, TocEntry};

/// How alike two names are that may be taken for one another: from 0 to 1 (Jaro-Winkler).
const ALIKE: f64 = 0.85;
const MAX_SIMILAR: usize = 3;
/// PostgreSQL cuts names to 63 bytes; longer ones are not compared.
const MAX_COMPARED_BYTES: usize = 128;

/// The position of the entry that defines the table.
pub(super) fn table(toc: &Toc, name: &TableName) -> Result<usize, SelectError> {
    let entries = toc.entries().iter();
    let position = entries
        .clone()
        .position(|entry| is_table(entry) && has(entry, name));
    position.ok_or_else(|| {
        let name = name.clone();
        let mut named = entries.filter(|entry| has(entry, &name));
        match named.find_map(other_kind) {
            Some("table data") => SelectError::NoDefinition { name },
            Some(kind) => SelectError::NotATable { name, kind },
            None => SelectError::NotFound {
                similar: similar(toc, &name),
                name,
            },
        }
    })
}

fn is_table(entry: &TocEntry) -> bool {
    entry.description == "TABLE"
}

fn has(entry: &TocEntry, name: &TableName) -> bool {
    entry.tag == Text::from_escaped(&name.name)
        && entry.schema == Some(Text::from_escaped(&name.schema))
}

fn other_kind(entry: &TocEntry) -> Option<&'static str> {
    Some(match role::text(entry) {
        "VIEW" => "view",
        "MATERIALIZED VIEW" => "materialized view",
        "FOREIGN TABLE" => "foreign table",
        "SEQUENCE" => "sequence",
        "TABLE DATA" => "table data",
        _ => return None,
    })
}

/// Tables of a similar name; one of the same name in another schema comes first.
fn similar(toc: &Toc, wanted: &TableName) -> Vec<String> {
    let mut found = Vec::new();
    for entry in toc.entries().iter().filter(|entry| is_table(entry)) {
        let name = entry.tag.to_string().to_lowercase();
        let schema = entry.schema.as_ref().map(ToString::to_string);
        let full = format!("{}.{name}", schema.unwrap_or_default().to_lowercase());
        if full.len() > MAX_COMPARED_BYTES {
            continue;
        }
        let (wanted_schema, wanted_name) =
            (wanted.schema.to_lowercase(), wanted.name.to_lowercase());
        let alike = if name == wanted_name {
            1.0
        } else {
            // Both parts must be alike, or any two names in one schema would be.
            let of_full = strsim::jaro_winkler(&full, &format!("{wanted_schema}.{wanted_name}"));
            of_full.min(strsim::jaro_winkler(&name, &wanted_name))
        };
        if alike >= ALIKE {
            found.push((alike, entry));
        }
    }
    // Stable: equal ones stay in the archive's order.
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    let closest = found.into_iter().take(MAX_SIMILAR);
    closest.map(|(_, entry)| entry.qualified_name()).collect()
}

/// The end of an error's text.
pub(super) fn or(similar: &[String]) -> String {
    if similar.is_empty() {
        String::new()
    } else {
        format!(" (but there is {})", similar.join(", "))
    }
}

//! What a whole archive says of itself, compared with its manifest.

use pgdump_archive::{Header, Index, IndexEntry, IndexError, IndexingParser, Toc, TocEntry};

use super::name::name_of;
use crate::store::{Counts, Manifest};

/// What was read of a whole archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    head: HeadContents,
    counts: Counts,
    /// In what the index differs from the table of contents.
    index_differs: Option<String>,
}

/// What header and table of contents say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadContents {
    database: String,
    server_version: String,
    format_version: String,
    compression: String,
    entries: u64,
}

impl HeadContents {
    pub(super) fn new(header: &Header, toc: &Toc) -> Self {
        Self {
            database: header.database.to_string(),
            server_version: header.server_version.to_string(),
            format_version: header.version.to_string(),
            compression: header.compression.to_string(),
            entries: toc.entries().len() as u64,
        }
    }

    /// What the manifest says otherwise, each in words.
    pub(super) fn differences(&self, manifest: &Manifest) -> Vec<String> {
        let archive = &manifest.archive;
        let mut found = Vec::new();
        let mut compare = |field: &str, in_manifest: Option<&str>, read: &str| {
            if in_manifest != Some(read) {
                found.push(differs(field, in_manifest, read));
            }
        };
        let database = &manifest.database;
        compare("database.name", Some(&database.name), &self.database);
        compare(
            "database.server_version",
            Some(&database.server_version),
            &self.server_version,
        );
        compare(
            "archive.format_version",
            archive.format_version.as_deref(),
            &self.format_version,
        );
        compare(
            "archive.compression",
            archive.compression.split(':').next(),
            &self.compression,
        );
        // A sealed manifest says it to an identity alone.
        if !manifest.is_sealed() || archive.entries.is_some() {
            let entries = archive.entries.map(|entries| entries.to_string());
            compare(
                "archive.entries",
                entries.as_deref(),
                &self.entries.to_string(),
            );
        }
        found
    }
}

impl Contents {
    /// Of an archive whose head and blocks are what the index says.
    pub(super) fn of_index(header: &Header, toc: &Toc, index: &Index) -> Self {
        Self {
            head: HeadContents::new(header, toc),
            counts: Counts::of(index),
            index_differs: compare_index(toc, index),
        }
    }

    /// Of an archive that was read to its end.
    ///
    /// # Errors
    /// Why it is not whole.
    pub(super) fn of_whole(parser: IndexingParser) -> Result<Option<Self>, IndexError> {
        let head = parser.header().zip(parser.toc());
        let head = head.map(|(header, toc)| HeadContents::new(header, toc));
        let (_, index) = parser.finish()?;
        Ok(head.map(|head| Self {
            head,
            counts: Counts::of(&index),
            index_differs: None,
        }))
    }

    /// What the manifest says otherwise, each in words; nothing where it was read without an identity.
    pub(super) fn differences(&self, manifest: &Manifest) -> Vec<String> {
        let mut found = self.head.differences(manifest);
        let differing = self.counts.differences(&manifest.archive);
        found.extend(differing.into_iter().map(|(field, in_manifest, read)| {
            let text = |number: Option<u64>| number.map(|number| number.to_string());
            differs(
                field,
                text(in_manifest).as_deref(),
                text(read).as_deref().unwrap_or("not known"),
            )
        }));
        found.extend(self.index_differs.clone());
        found
    }
}

fn differs(field: &str, in_manifest: Option<&str>, read: &str) -> String {
    let in_manifest = in_manifest.unwrap_or("null");
    format!("{field} is {in_manifest} in the manifest and {read} in the archive")
}

/// Whether the index has one block for each entry of the table of contents that owes data, under its name.
fn compare_index(toc: &Toc, index: &Index) -> Option<String> {
    for entry in &index.entries {
        let owner = toc.get(entry.dump_id).filter(|owner| owner.owes_data);
        if !owner.is_some_and(|owner| is_of(entry, owner)) {
            return Some(format!(
                "the index names {} for dump id {}, the table of contents does not",
                name_of(entry),
                entry.dump_id
            ));
        }
    }
    let owed = toc.data_entries().count();
    (owed != index.entries.len()).then(|| {
        format!(
            "the index has {} blocks of data, the table of contents {owed}",
            index.entries.len()
        )
    })
}

fn is_of(entry: &IndexEntry, owner: &TocEntry) -> bool {
    let schema = owner.schema.as_ref().filter(|schema| !schema.is_empty());
    owner.data_kind() == Some(entry.kind)
        && owner.tag.to_string() == entry.name
        && schema.map(|schema| schema.to_string())
            == entry
                .schema
                .as_ref()
                .filter(|schema| !schema.is_empty())
                .cloned()
}

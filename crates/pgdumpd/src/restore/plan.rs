//! Who restores what of an archive: our own workers the rows of tables, the stock pg_restore all else.

use std::collections::BTreeSet;
use std::sync::Arc;

use pgdump_archive::{DumpId, IndexEntry, Section, TableName, Toc, TocEntry};

use super::roles;
use crate::code::Code;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;
use crate::readback::Source;

/// What is restored, and by whom.
#[derive(Debug)]
pub(super) struct Plan {
    /// All entries that are restored.
    pub(super) toc: Toc,
    /// Tables whose rows we load, the largest first.
    pub(super) tables: Vec<TableLoad>,
    /// The same entries without the rows of these tables.
    pub(super) rest: Toc,
    /// The data of `rest`, in the archive's order.
    pub(super) blocks: Vec<IndexEntry>,
    /// What of the tables that were asked for the archive does not have.
    pub(super) incomplete: Vec<String>,
    /// What acts on these tables and is not restored with them.
    pub(super) left_out: Vec<String>,
}

/// The rows of one table.
#[derive(Debug)]
pub(super) struct TableLoad {
    /// The table, as SQL writes it.
    pub(super) name: String,
    /// The entry of the table itself.
    pub(super) table: Option<DumpId>,
    /// The archive's COPY, without its end.
    pub(super) copy: String,
    /// Where the rows are.
    pub(super) entry: IndexEntry,
    /// Whether a crash of the server empties it.
    pub(super) is_unlogged: bool,
    /// Whose it is.
    pub(super) owner: Option<String>,
}

/// What an archive needs of a server.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) extensions: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) tablespaces: Vec<String>,
}

impl Plan {
    /// # Errors
    /// `table_unknown`; `manifest_invalid` where the index lacks a table's data.
    pub(super) async fn new(source: &Source<'_>, tables: &[TableName]) -> Result<Self, Fault> {
        let (toc, incomplete, left_out) = if tables.is_empty() {
            (Toc::clone(source.toc()), Vec::new(), Vec::new())
        } else {
            select(source, tables).await?
        };
        let mut loads = Vec::new();
        let mut blocks = Vec::new();
        for owner in toc.data_entries() {
            let Some(entry) = source.entry(owner.dump_id) else {
                let what = format!("the index lacks the data of {}", owner.qualified_name());
                return Err(Fault::permanent(Code::ManifestInvalid, what));
            };
            match load_of(&toc, owner, entry) {
                Some(load) => loads.push(load),
                None => blocks.push(entry.clone()),
            }
        }
        loads.sort_by_key(|load| std::cmp::Reverse(load.entry.raw_bytes));
        let ours: BTreeSet<DumpId> = loads.iter().map(|load| load.entry.dump_id).collect();
        Ok(Self {
            rest: toc.filtered(|entry| !ours.contains(&entry.dump_id)),
            toc,
            tables: loads,
            blocks,
            incomplete,
            left_out,
        })
    }

    /// Whether the stock pg_restore has anything to do between the schema and its end: sequences, large objects.
    pub(super) fn has_rest(&self) -> bool {
        let mut entries = self.rest.entries().iter();
        entries.any(|entry| entry.section == Section::Data)
    }

    /// Whether large objects themselves are made together with their data, as in archives from 17 on.
    pub(super) fn makes_large_objects_with_data(&self) -> bool {
        let mut entries = self.rest.entries().iter();
        entries.any(|entry| entry.section == Section::Data && entry.description == "BLOB METADATA")
    }

    /// Bytes of rows that we load, without compression.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.tables.iter().map(|load| load.entry.raw_bytes).sum()
    }

    /// The statement that sets the encoding of the archive.
    pub(super) fn encoding(&self) -> Option<&str> {
        let mut entries = self.toc.entries().iter();
        let entry = entries.find(|entry| entry.description == "ENCODING")?;
        entry.definition.as_ref()?.as_str()
    }

    /// What the server must have.
    pub(super) fn needs(&self) -> Needs {
        let entries = self.toc.entries();
        let named = |name: &Option<pgdump_archive::Text>| {
            let name = name.as_ref()?.as_str()?;
            (!name.is_empty()).then(|| name.to_owned())
        };
        let sorted = |names: BTreeSet<String>| names.into_iter().collect();
        let extensions = entries
            .iter()
            .filter(|entry| entry.description == "EXTENSION")
            .filter_map(|entry| entry.tag.as_str().map(str::to_owned));
        Needs {
            extensions: sorted(extensions.collect()),
            roles: sorted(roles::of(&self.toc)),
            tablespaces: sorted(
                entries
                    .iter()
                    .filter_map(|e| named(&e.tablespace))
                    .collect(),
            ),
        }
    }
}

/// These tables with what they need, and what of it the archive does not have.
async fn select(
    source: &Source<'_>,
    tables: &[TableName],
) -> Result<(Toc, Vec<String>, Vec<String>), Fault> {
    let (toc, tables) = (Arc::clone(source.toc()), tables.to_vec());
    let selected = off_runtime("selects the tables", move || toc.select(&tables)).await?;
    let selected = selected.map_err(|error| {
        Fault::permanent(Code::TableUnknown, error.to_string())
            .hint("`pgdumpd show` lists the tables of a backup; names are as SQL writes them, such as shop.\"Orders\".")
    })?;
    let incomplete = selected.incomplete.iter().map(ToString::to_string);
    let left_out = selected.left_out.iter().map(ToString::to_string);
    Ok((selected.toc, incomplete.collect(), left_out.collect()))
}

impl TableLoad {
    /// The table as the archive's COPY names it.
    pub(super) fn copy_name(&self) -> Option<&str> {
        let rest = self.copy.strip_prefix("COPY ")?;
        let mut is_quoted = false;
        let end = rest.find(|sign| {
            is_quoted ^= sign == '"';
            sign == ' ' && !is_quoted
        });
        Some(&rest[..end?])
    }
}

/// How we load this data; `None` where we do not: it is no COPY of known rows.
fn load_of(toc: &Toc, owner: &TocEntry, entry: &IndexEntry) -> Option<TableLoad> {
    let statement = owner.copy_statement.as_ref()?.as_str()?;
    let copy = statement.trim_end().strip_suffix(';')?;
    // Rows are counted, and their end is known.
    entry.rows?;
    let table = owner.dependencies.first().and_then(|id| toc.get(*id));
    let definition = table.and_then(|table| table.definition.as_ref()?.as_str());
    Some(TableLoad {
        is_unlogged: definition.is_some_and(|text| text.contains("CREATE UNLOGGED TABLE ")),
        owner: owner
            .owner
            .as_ref()
            .and_then(|owner| owner.as_str())
            .map(str::to_owned),
        name: owner.qualified_name(),
        table: table.map(|table| table.dump_id),
        copy: copy.to_owned(),
        entry: entry.clone(),
    })
}

//! Brings a few tables of a backup back, as a small archive that restores by itself.

use std::collections::HashMap;
use std::sync::Arc;

use pgdump_archive::{
    DumpId, HeadCheck, HeadDamage, Header, Index, IndexEntry, SelectError, Selection, TableName,
    Toc, encode,
};

use super::Stored;
use super::archive_reader::ArchiveReader;
use super::block::read_block;
use super::contents::HeadContents;
use super::name::name_of;
use super::output::{Destination, Output};
use crate::code::Code;
use crate::fault::{Fault, chain};
use crate::off_runtime::off_runtime;

/// What was brought back.
#[derive(Debug)]
pub struct Fetched {
    /// Tables whose data is in the file, as `schema.name`, with their rows where known.
    pub tables: Vec<(String, Option<u64>)>,
    /// Tables that the others depend on: they are there, but empty.
    pub empty_tables: Vec<String>,
    /// What acts on the tables and was left out.
    pub left_out: Vec<String>,
    /// What the tables have or need, and the file has not.
    pub incomplete: Vec<String>,
    /// What the manifest says otherwise than header and table of contents.
    pub differences: Vec<String>,
    /// The file's size.
    pub size_bytes: u64,
    /// What was read of the stored object.
    pub read_bytes: u64,
}

/// Writes an archive of these tables to a new file, reading only what it needs, each part verified.
///
/// # Errors
/// The storage's; `file_exists` and `file_failed`; `index_missing`; `table_unknown`; `archive_damaged` names the table;
/// `identity_needed` and `identity_mismatch`.
pub async fn fetch_tables(
    stored: &Stored,
    wanted: &[TableName],
    to: impl Into<Destination<'_>>,
) -> Result<Fetched, Fault> {
    let reader = ArchiveReader::open(stored).await?;
    let Some(index) = &stored.index else {
        let what = "the backup's manifest does not say where its tables are";
        return Err(Fault::permanent(Code::IndexMissing, what)
            .hint("Fetch the whole backup, and choose tables with pg_restore --table."));
    };
    let compression = stored.compression()?;
    let (header, toc) = head(&reader, index).await?;
    let differences = HeadContents::new(&header, &toc).differences(&stored.manifest);
    let Selection {
        toc: selected,
        tables: _,
        empty_tables,
        left_out,
        incomplete,
        ..
    } = select(&toc, wanted).await?;
    let entries: HashMap<DumpId, &IndexEntry> = index
        .entries
        .iter()
        .map(|entry| (entry.dump_id, entry))
        .collect();
    let blocks: Vec<&IndexEntry> = selected
        .data_entries()
        .map(|owner| entries.get(&owner.dump_id).copied())
        .collect::<Option<_>>()
        .ok_or_else(|| Fault::permanent(Code::ManifestInvalid, "the index lacks a table's data"))?;

    let file = Output::create(to.into()).await?;
    let head = small_head(&header, &selected, &blocks)?;
    let mut at = head.len() as u64;
    file.write(head.into(), 0).await?;
    for entry in &blocks {
        let read = read_block(&reader, entry, compression, async |piece| {
            let length = piece.len() as u64;
            file.write(piece, at).await?;
            at += length;
            Ok(())
        });
        read.await?
            .map_err(|what| damaged(&name_of(entry), &what))?;
    }
    file.keep().await?;
    let name = |id: &DumpId| toc.get(*id).map(|entry| entry.qualified_name());
    Ok(Fetched {
        tables: blocks
            .iter()
            .map(|entry| (name_of(entry), entry.rows))
            .collect(),
        empty_tables: empty_tables.iter().filter_map(name).collect(),
        left_out: left_out.iter().map(ToString::to_string).collect(),
        incomplete: incomplete.iter().map(ToString::to_string).collect(),
        differences,
        size_bytes: at,
        read_bytes: reader.read_bytes(),
    })
}

/// Selects on a thread of its own: of a large archive it takes long, and the command can be interrupted meanwhile.
async fn select(toc: &Arc<Toc>, wanted: &[TableName]) -> Result<Selection, Fault> {
    let (toc, wanted) = (Arc::clone(toc), wanted.to_vec());
    let selected = off_runtime("selects the tables", move || toc.select(&wanted));
    selected
        .await?
        .map_err(|error| Fault::permanent(Code::TableUnknown, error.to_string()).hint(hint(&error)))
}

/// What can be done instead.
fn hint(error: &SelectError) -> String {
    match error {
        SelectError::NotATable { kind, .. } if *kind == "foreign table" => {
            "Its rows are on another server, and not in the backup.".to_owned()
        }
        SelectError::NotATable { .. } => {
            "Only tables have rows in a backup. For its definition, fetch the whole backup and use pg_restore --use-list."
                .to_owned()
        }
        SelectError::NoDefinition { name } => {
            let table = pg_restore_name(name);
            format!(
                "Where the table exists, fetch the whole backup, then: pg_restore --data-only {table} --dbname=DATABASE FILE"
            )
        }
        _ => "`pgdumpd show` lists the tables of a backup; names are as SQL writes them, such as shop.\"Orders\"."
            .to_owned(),
    }
}

/// The options by which pg_restore chooses this table, quoted for a shell.
fn pg_restore_name(table: &TableName) -> String {
    let quoted = |name: &str| format!("'{}'", name.replace('\'', r"'\''"));
    format!(
        "--schema={} --table={}",
        quoted(&table.schema),
        quoted(&table.name)
    )
}

/// Header and table of contents of the whole archive.
pub(super) async fn head(
    reader: &ArchiveReader<'_>,
    index: &Index,
) -> Result<(Header, Arc<Toc>), Fault> {
    let damaged = |damage: HeadDamage| damaged("the table of contents", &chain(&damage));
    let mut pieces = reader.read(0..index.head_bytes).await?;
    let mut check = HeadCheck::new(index);
    while let Some(piece) = pieces.next().await? {
        check.push(&piece).map_err(damaged)?;
    }
    check.finish().map_err(damaged)
}

/// The small archive's header and table of contents, with the offsets that its blocks will have.
fn small_head(header: &Header, toc: &Toc, blocks: &[&IndexEntry]) -> Result<Vec<u8>, Fault> {
    let cannot = |error| {
        Fault::permanent(Code::Internal, "the small archive cannot be written").caused_by(error)
    };
    // Offsets take the same room whatever they are.
    let length = encode(header, toc).map_err(cannot)?.len() as u64;
    let mut offsets = HashMap::new();
    let mut at = length;
    for entry in blocks {
        offsets.insert(entry.dump_id, at);
        at += entry.block_bytes;
    }
    encode(header, &toc.with_offsets(|id| offsets.get(&id).copied())).map_err(cannot)
}

fn damaged(what: &str, how: &str) -> Fault {
    Fault::permanent(Code::ArchiveDamaged, format!("{what} is damaged: {how}"))
        .hint("`pgdumpd verify` says which tables are still good.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_that_cannot_be_fetched_has_another_way_out() {
        let name = TableName::new("shop", "it's");
        let not_a_table = |kind| {
            let name = name.clone();
            hint(&SelectError::NotATable { name, kind })
        };
        assert!(not_a_table("foreign table").contains("on another server"));
        assert!(not_a_table("view").contains("pg_restore --use-list"));
        let similar = Vec::new();
        let not_found = SelectError::NotFound {
            name: name.clone(),
            similar,
        };
        assert!(hint(&not_found).contains("pgdumpd show"));
        let hint = hint(&SelectError::NoDefinition { name });
        let options = r"pg_restore --data-only --schema='shop' --table='it'\''s' ";
        assert!(hint.contains(options), "{hint}");
    }
}

//! Reads the table of contents, entry by entry.
//!
//! An entry is read in three kinds of steps, so that one that comes in small pieces is not read
//! again and again from its start: its fields, each dependency, and the offset of its data.

use std::mem::{self, size_of};

use super::cursor::{Cursor, Stop};
use crate::{
    ArchiveError, ArchiveVersion, Bound, DataOffset, DumpId, Limits, Section, Text, Toc, TocEntry,
};

/// A table of contents that is being read.
pub(super) struct TocReader {
    version: ArchiveVersion,
    off_size: u8,
    limits: Limits,
    announced: usize,
    entries: Vec<TocEntry>,
    /// The entry whose fields are read, and whose dependencies and offset are not.
    open: Option<TocEntry>,
    /// An estimate of the memory taken so far.
    held_bytes: usize,
}

impl TocReader {
    /// Reads the number of entries.
    pub(super) fn start(
        cursor: &mut Cursor<'_>,
        version: ArchiveVersion,
        off_size: u8,
        limits: Limits,
    ) -> Result<Self, Stop> {
        let announced = usize::try_from(cursor.int()?)
            .map_err(|_| cursor.corrupt("the number of entries is negative"))?;
        let (entries, open, held_bytes) = (Vec::new(), None, 0);
        Ok(Self {
            version,
            off_size,
            limits,
            announced,
            entries,
            open,
            held_bytes,
        })
    }

    pub(super) fn announced(&self) -> usize {
        self.announced
    }

    pub(super) fn read(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.entries.len() == self.announced
    }

    /// Reads the next step, from a cursor that has no more than [`room`](Self::room). There must be
    /// one: check [`is_complete`](Self::is_complete) first.
    pub(super) fn step(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let Some(open) = &mut self.open else {
            let entry = self.fields(cursor)?;
            self.hold(entry_bytes(&entry), cursor)?;
            self.open = Some(entry);
            return Ok(());
        };
        // The list ends with NULL. The offset is read in the same step: it has a fixed size.
        let dependency = cursor.string(Cursor::MAX_DIGITS)?;
        if let Some(digits) = dependency {
            open.dependencies.push(dump_id(cursor, digits)?);
            // A vector that doubles holds its old room and its new while it moves.
            self.hold(3 * size_of::<DumpId>(), cursor)?;
            return Ok(());
        }
        open.data_offset = data_offset(cursor, open.owes_data, self.off_size)?;
        open.dependencies.shrink_to_fit();
        if self.entries.len() == self.entries.capacity() {
            // By a quarter instead of twice: while it moves, both the old room and the new are held.
            self.entries.reserve_exact(self.entries.len() / 4 + 16);
        }
        self.entries.extend(self.open.take());
        Ok(())
    }

    /// The complete table of contents, which ends at `offset`; can be had once.
    pub(super) fn finish(&mut self, offset: u64) -> Result<Toc, ArchiveError> {
        let toc = Toc::new(mem::take(&mut self.entries))
            .map_err(|dump_id| ArchiveError::DuplicateEntry { offset, dump_id })?;
        match toc.table_data_twice() {
            None => Ok(toc),
            Some((first, second)) => Err(ArchiveError::DuplicateTableData {
                offset,
                name: first.qualified_name(),
                first: first.dump_id,
                second: second.dump_id,
            }),
        }
    }

    fn hold(&mut self, bytes: usize, cursor: &Cursor<'_>) -> Result<(), Stop> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > self.limits.max_toc_bytes {
            return Err(cursor.too_large(Bound::Toc, self.limits.max_toc_bytes));
        }
        Ok(())
    }

    /// How many bytes the next step may read.
    pub(super) fn room(&self) -> usize {
        self.limits.max_toc_bytes.saturating_sub(self.held_bytes)
    }

    fn fields(&self, cursor: &mut Cursor<'_>) -> Result<TocEntry, Stop> {
        let limit = self.limits.max_string_bytes;
        let dump_id = DumpId::new(cursor.int()?)
            .ok_or_else(|| cursor.corrupt("an entry's dump id is below 1"))?;
        let owes_data = match cursor.int()? {
            0 => false,
            1 => true,
            _ => return Err(cursor.corrupt("the flag for data is neither 0 nor 1")),
        };
        let catalog_oid = cursor.decimal()?;
        let oid = cursor.decimal()?;
        let tag = cursor.required(limit)?;
        let description = cursor.required(limit)?;
        let section = Section::from_int(cursor.int()?)
            .ok_or_else(|| cursor.corrupt("an entry is in an unknown section"))?;
        let definition = cursor.string(limit)?;
        let drop_statement = cursor.string(limit)?;
        let copy_statement = cursor.string(limit)?;
        let schema = cursor.string(limit)?;
        let tablespace = cursor.string(limit)?;
        let access_method = if self.version.has_access_method() {
            cursor.string(limit)?
        } else {
            None
        };
        let relkind = if self.version.has_relkind() {
            u8::try_from(cursor.int()?)
                .map_err(|_| cursor.corrupt("a relation's kind is not one character"))?
        } else {
            0
        };
        let owner = cursor.string(limit)?;
        let with_oids = match cursor.required(limit)? {
            b"false" => false,
            b"true" => true,
            _ => return Err(cursor.corrupt("the flag for oids is neither true nor false")),
        };
        // Only now: what came before may have to be read again when more bytes are there.
        Ok(TocEntry {
            dump_id,
            owes_data,
            catalog_oid,
            oid,
            tag: Text::new(tag),
            description: Text::new(description),
            section,
            definition: definition.map(Text::new),
            drop_statement: drop_statement.map(Text::new),
            copy_statement: copy_statement.map(Text::new),
            schema: schema.map(Text::new),
            tablespace: tablespace.map(Text::new),
            access_method: access_method.map(Text::new),
            relkind: (relkind != 0).then_some(relkind),
            owner: owner.map(Text::new),
            with_oids,
            dependencies: Vec::new(),
            data_offset: DataOffset::NoData,
        })
    }
}

fn dump_id(cursor: &Cursor<'_>, digits: &[u8]) -> Result<DumpId, Stop> {
    let number = i32::try_from(cursor.parse_decimal(digits)?).ok();
    number
        .and_then(DumpId::new)
        .ok_or_else(|| cursor.corrupt("a dependency is not a dump id"))
}

fn data_offset(cursor: &mut Cursor<'_>, owes_data: bool, off_size: u8) -> Result<DataOffset, Stop> {
    let state = cursor.byte()?;
    let mut bytes = [0; 8];
    let stored = cursor.take(usize::from(off_size))?;
    for (byte, stored) in bytes.iter_mut().zip(stored) {
        *byte = *stored;
    }
    let offset = u64::from_le_bytes(bytes);
    match (state, owes_data, offset) {
        (1, true, 0) => Ok(DataOffset::Unknown),
        (2, true, 1..) => Ok(DataOffset::At(offset)),
        (3, false, 0) => Ok(DataOffset::NoData),
        // pg_restore would silently skip data that is there, or look for data that is not.
        (1 | 2, false, _) | (3, true, _) => {
            Err(cursor.corrupt("the flag for data contradicts the data offset"))
        }
        _ => Err(cursor.corrupt("a data offset is neither set nor unset")),
    }
}

/// What the entry takes in memory, without its dependencies.
fn entry_bytes(entry: &TocEntry) -> usize {
    let required = [&entry.tag, &entry.description].map(Some);
    let optional = [
        &entry.definition,
        &entry.drop_statement,
        &entry.copy_statement,
        &entry.schema,
        &entry.tablespace,
        &entry.access_method,
        &entry.owner,
    ]
    .map(Option::as_ref);
    let strings = required
        .into_iter()
        .chain(optional)
        .flatten()
        .filter(|text| !text.is_empty());
    // The room that the growing vector of entries has at most, the index by dump id, and what an
    // allocation takes beyond what it holds.
    2 * size_of::<TocEntry>()
        + 8
        + strings
            .map(|text| text.as_bytes().len() + 16)
            .sum::<usize>()
}

//! Adds up the raw data of one block.

use crate::checksum::Checksummer;
use crate::copy::{self, CopyDamage, Signs};
use crate::index::IndexEntry;
use crate::{Checksum, DataKind, TocEntry};

/// The end of COPY data: its marker, which ends a row before it, and pg_dump's two empty lines.
const COPY_END: &[u8] = b"\n\\.\n\n\n";
/// The newlines of the marker and the empty lines, which are not rows.
const COPY_END_NEWLINES: u64 = 3;

/// What can be counted while raw data passes in order.
#[derive(Default)]
pub(crate) struct Tally {
    checksum: Checksummer,
    raw_bytes: u64,
    large_objects: u64,
    object_bytes: u64,
    /// The last bytes; before the first byte a newline is thought.
    tail: [u8; COPY_END.len()],
}

/// The sums of a whole block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) raw_bytes: u64,
    pub(crate) checksum: Checksum,
    pub(crate) large_objects: u64,
    /// Whether the data ends as COPY data does.
    pub(crate) ends_as_copy: bool,
}

impl Tally {
    /// A block begins.
    pub(crate) fn start(&mut self) {
        *self = Self::default();
        self.tail[COPY_END.len() - 1] = b'\n';
    }

    /// A large object begins.
    pub(crate) fn start_object(&mut self, oid: u32) {
        self.checksum.add(&oid.to_le_bytes());
        self.object_bytes = 0;
    }

    pub(crate) fn add(&mut self, raw: &[u8]) {
        self.checksum.add(raw);
        self.raw_bytes += raw.len() as u64;
        self.object_bytes += raw.len() as u64;
        let kept = self.tail.len().saturating_sub(raw.len());
        let tail_bytes = self.tail.len();
        self.tail.copy_within(tail_bytes - kept.., 0);
        self.tail[kept..].copy_from_slice(&raw[raw.len() - (tail_bytes - kept)..]);
    }

    /// Bytes of the block so far.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// The current large object ends.
    pub(crate) fn end_object(&mut self) {
        self.checksum.add(&self.object_bytes.to_le_bytes());
        self.large_objects += 1;
    }

    /// The block ends.
    pub(crate) fn totals(&mut self) -> Totals {
        Totals {
            raw_bytes: self.raw_bytes,
            checksum: self.checksum.take(),
            large_objects: self.large_objects,
            ends_as_copy: self.tail == COPY_END,
        }
    }
}

impl Totals {
    /// The rows of a table's data with this many newlines; `None` where they cannot be known.
    fn rows(&self, is_copy: bool, newlines: u64) -> Option<u64> {
        // COPY writes a newline inside a value as \n.
        let known = is_copy && self.ends_as_copy;
        known
            .then(|| newlines.checked_sub(COPY_END_NEWLINES))
            .flatten()
    }

    /// The index entry of the block; what is wrong with it, if it is not what COPY writes.
    pub(crate) fn entry(
        &self,
        owner: &TocEntry,
        kind: DataKind,
        block: Block,
    ) -> Result<IndexEntry, CopyDamage> {
        let is_table = kind == DataKind::Table;
        let rows = self.rows(is_table && owner.is_copy(), block.signs.newlines);
        if is_table {
            copy::check(owner, rows, block.signs.tabs)?;
        }
        Ok(IndexEntry {
            dump_id: owner.dump_id,
            schema: owner
                .schema
                .as_ref()
                .filter(|schema| !schema.is_empty())
                .map(ToString::to_string),
            name: owner.tag.to_string(),
            kind,
            rows,
            large_objects: (!is_table).then_some(self.large_objects),
            raw_bytes: self.raw_bytes,
            stored_bytes: block.stored_bytes,
            offset_bytes: block.offset,
            block_bytes: block.bytes,
            raw_xxh3_128: self.checksum,
            block_xxh3_128: block.checksum,
        })
    }
}

/// What is known of a block beside its raw data.
pub(crate) struct Block {
    pub(crate) signs: Signs,
    pub(crate) stored_bytes: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: Checksum,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(pieces: &[&str]) -> Option<u64> {
        let mut tally = Tally::default();
        tally.start();
        pieces.iter().for_each(|piece| tally.add(piece.as_bytes()));
        let all = pieces.concat();
        tally
            .totals()
            .rows(true, Signs::of(all.as_bytes()).newlines)
    }

    #[test]
    fn rows_are_known_where_the_data_ends_as_copy_data_does() {
        assert_eq!(rows_of(&["\\.\n\n\n"]), Some(0));
        assert_eq!(rows_of(&["\\", ".", "\n", "\n", "\n"]), Some(0));
        assert_eq!(rows_of(&["a\n", "\n", "\\.\n\n\n"]), Some(2));
        assert_eq!(rows_of(&["a\nb\n\\.\n\n\n"]), Some(2));
        for other in ["", "\n\n\n", "a\\.\n\n\n", "a\n\\.\n\n", "a\n\\.\n\n\nb"] {
            assert_eq!(rows_of(&[other]), None, "{other:?}");
        }
    }
}

//! What an archive's data blocks hold, and where they are.

use std::ops::Range;

use crate::{Checksum, DataKind, DumpId};

/// A map of an archive: with it one block can be fetched, and checked, without the others.
///
/// With the feature `serde` it can be serialised. What is deserialised may hold any numbers:
/// [`check_layout`](Self::check_layout) says whether they fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Index {
    /// The length of the header and the table of contents, in bytes.
    pub head_bytes: u64,
    /// Their checksum.
    pub head_xxh3_128: Checksum,
    /// The data blocks, in the archive's order.
    pub entries: Vec<IndexEntry>,
}

/// One data block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct IndexEntry {
    /// The entry of the table of contents that owns the block.
    pub dump_id: DumpId,
    /// The table's schema. Bytes that are not UTF-8 are written as [`Text`](crate::Text) writes
    /// them, here and in the name.
    pub schema: Option<String>,
    /// The table's name; for large objects what pg_dump calls the entry.
    pub name: String,
    /// What the block holds.
    pub kind: DataKind,
    /// The rows of COPY data that ends as COPY data does; unknown for INSERT commands.
    pub rows: Option<u64>,
    /// How many large objects there are; `None` for a table.
    pub large_objects: Option<u64>,
    /// The size of the data without compression, in bytes: COPY's end marker included.
    pub raw_bytes: u64,
    /// The size of the data as it is stored, in bytes, without the block's framing.
    pub stored_bytes: u64,
    /// Where the block begins in the archive, in bytes.
    pub offset_bytes: u64,
    /// The size of the whole block with its framing, in bytes.
    pub block_bytes: u64,
    /// The checksum of the data without compression. For large objects: of each object's oid in
    /// four bytes, its bytes, and its length in eight bytes (numbers with the lowest byte first),
    /// one object after another.
    pub raw_xxh3_128: Checksum,
    /// The checksum of the whole block as it is stored, with its framing.
    pub block_xxh3_128: Checksum,
}

impl IndexEntry {
    /// Where the block is in the archive; `None` if its end is beyond what can be counted.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        let end = self.offset_bytes.checked_add(self.block_bytes)?;
        Some(self.offset_bytes..end)
    }
}

/// What has been counted of a block that is not complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoFar {
    /// Bytes of its data without compression.
    pub raw_bytes: u64,
    /// Newlines in them: of COPY data, rows.
    pub newlines: u64,
}

/// Why an index is none of an archive of this size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A block does not begin where the one before it, or the table of contents, ends.
    #[error("the index does not say where the block of dump id {dump_id} is")]
    Gap {
        /// The first such entry.
        dump_id: DumpId,
    },
    /// Two blocks of one entry.
    #[error("the index has two blocks of dump id {dump_id}")]
    Duplicate {
        /// The entry.
        dump_id: DumpId,
    },
    /// The blocks do not end where the archive does.
    #[error("the index is of an archive of {indexed_bytes} bytes, not of {archive_bytes}")]
    Size {
        /// Where the last block ends.
        indexed_bytes: u64,
        /// The size of the archive.
        archive_bytes: u64,
    },
}

impl Index {
    /// Whether head and blocks fill an archive of this size without a gap, each block once.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check_layout(&self, archive_bytes: u64) -> Result<(), LayoutError> {
        let mut indexed_bytes = self.head_bytes;
        for entry in &self.entries {
            let dump_id = entry.dump_id;
            let gap = LayoutError::Gap { dump_id };
            let range = entry.range().ok_or_else(|| gap.clone())?;
            if range.start != indexed_bytes || range.is_empty() {
                return Err(gap);
            }
            indexed_bytes = range.end;
        }
        let mut ids: Vec<_> = self.entries.iter().map(|entry| entry.dump_id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(LayoutError::Duplicate { dump_id: pair[0] });
        }
        if indexed_bytes != archive_bytes {
            return Err(LayoutError::Size {
                indexed_bytes,
                archive_bytes,
            });
        }
        Ok(())
    }
}

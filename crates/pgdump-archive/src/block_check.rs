//! Checks one data block by itself.

use std::sync::Arc;

use crate::{
    ArchiveError, Compression, CopyDamage, DataKind, DataOffset, DecodeError, IndexEntry,
    IndexError, IndexingParser, Section, Text, Toc, TocEntry,
};

/// What is wrong with a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockDamage {
    /// The index entry says where no block can be.
    #[error("the index entry says nowhere where the block is")]
    Nowhere,
    /// More bytes than the block has were pushed.
    #[error("the block has more than its {expected} bytes")]
    TooLong {
        /// The bytes of the block by its index entry.
        expected: u64,
    },
    /// Its framing is not that of a block of this entry.
    #[error(transparent)]
    Structure(ArchiveError),
    /// Its data cannot be decompressed.
    #[error(transparent)]
    Data(DecodeError),
    /// Its data is not what COPY and pg_dump write.
    #[error(transparent)]
    Copy(CopyDamage),
    /// All of it can be read, but it is not what was indexed.
    #[error("{what} is not what the index says")]
    Differs {
        /// What differs. If only the stored bytes do, the data itself is intact.
        what: Difference,
    },
}

/// In what a readable block differs from its index entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Difference {
    /// The data.
    Data,
    /// The number of rows, or of large objects, though the data is the same.
    Counts,
    /// The stored bytes alone.
    StoredBytes,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "the data",
            Self::Counts => "the number of rows or large objects",
            Self::StoredBytes => "the stored form of the data",
        })
    }
}

/// Says whether one block is intact, from its bytes alone and its index entry, so that damage
/// elsewhere in the archive, or a damaged length in another block, does not matter.
pub struct BlockCheck {
    parser: IndexingParser,
    expected: IndexEntry,
    left: u64,
}

impl BlockCheck {
    /// The bytes of COPY's end marker and of the two empty lines after it.
    pub const COPY_END_BYTES: u64 = 5;

    /// A check of the block that `entry` describes, in an archive with this compression. Any values
    /// in the entry are safe.
    ///
    /// # Errors
    ///
    /// [`BlockDamage::Nowhere`] if the entry's block cannot be anywhere.
    pub fn new(entry: &IndexEntry, compression: Compression) -> Result<Self, BlockDamage> {
        // Offsets in files end there; what is below can be added up without care.
        let end = entry.range().map_or(u64::MAX, |range| range.end);
        if end > i64::MAX.unsigned_abs() {
            return Err(BlockDamage::Nowhere);
        }
        let toc = Toc::new(vec![owner(entry)]).map_err(|_| BlockDamage::Nowhere)?;
        let parser = IndexingParser::at_block(Arc::new(toc), compression, entry.offset_bytes);
        Ok(Self {
            parser,
            expected: entry.clone(),
            left: entry.block_bytes,
        })
    }

    /// Checks the next bytes of the block.
    ///
    /// # Errors
    ///
    /// What is wrong, as soon as it is seen.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BlockDamage> {
        self.push_raw(bytes, &mut |_| {})
    }

    /// The same, and calls `raw` for each piece of the data without compression: of COPY data with the end that
    /// pg_dump writes, of which [`COPY_END_BYTES`](Self::COPY_END_BYTES) follow the last row. It is known to be whole
    /// only when [`finish`](Self::finish) says so.
    ///
    /// # Errors
    ///
    /// What is wrong, as soon as it is seen.
    pub fn push_raw(
        &mut self,
        bytes: &[u8],
        raw: &mut impl FnMut(&[u8]),
    ) -> Result<(), BlockDamage> {
        let expected = self.expected.block_bytes;
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or(BlockDamage::TooLong { expected })?;
        let pushed = self.parser.push_raw(bytes, &mut |_| {}, raw);
        pushed.map_err(damage)
    }

    /// The end of the block's bytes.
    ///
    /// # Errors
    ///
    /// What is wrong; [`BlockDamage::Structure`] if bytes are missing.
    pub fn finish(self) -> Result<(), BlockDamage> {
        let (_, index) = self.parser.finish().map_err(damage)?;
        let expected = self.expected;
        let differs = |what| Err(BlockDamage::Differs { what });
        let [found] = &index.entries[..] else {
            return differs(Difference::Data);
        };
        if (found.raw_xxh3_128, found.raw_bytes) != (expected.raw_xxh3_128, expected.raw_bytes) {
            return differs(Difference::Data);
        }
        if (found.rows, found.large_objects) != (expected.rows, expected.large_objects) {
            return differs(Difference::Counts);
        }
        let stored = |entry: &IndexEntry| {
            let sizes = (entry.stored_bytes, entry.block_bytes);
            (sizes, entry.block_xxh3_128)
        };
        if stored(found) != stored(&expected) {
            return differs(Difference::StoredBytes);
        }
        Ok(())
    }
}

/// [`BlockCheck`] for a block that is in memory.
///
/// # Errors
///
/// What is wrong with the block.
pub fn check_block(
    block: &[u8],
    entry: &IndexEntry,
    compression: Compression,
) -> Result<(), BlockDamage> {
    let mut check = BlockCheck::new(entry, compression)?;
    check.push(block)?;
    check.finish()
}

fn damage(error: IndexError) -> BlockDamage {
    match error {
        IndexError::Archive(error) => BlockDamage::Structure(error),
        IndexError::Data { source, .. } => BlockDamage::Data(source),
        IndexError::Copy { source, .. } => BlockDamage::Copy(source),
    }
}

/// The part of the block's entry that the parser reads.
fn owner(entry: &IndexEntry) -> TocEntry {
    let text = |text: &str| Text::from_escaped(&text.replace('\0', "\u{fffd}"));
    let description = match entry.kind {
        DataKind::Table => TocEntry::TABLE_DATA,
        DataKind::LargeObjects => TocEntry::LARGE_OBJECTS,
    };
    TocEntry {
        dump_id: entry.dump_id,
        owes_data: true,
        catalog_oid: 0,
        oid: 0,
        tag: text(&entry.name),
        description: text(description),
        section: Section::Data,
        definition: None,
        drop_statement: None,
        copy_statement: entry.rows.map(|_| text("COPY")),
        schema: entry.schema.as_deref().map(text),
        tablespace: None,
        access_method: None,
        relkind: None,
        owner: None,
        with_oids: false,
        dependencies: Vec::new(),
        data_offset: DataOffset::Unknown,
    }
}

//! Walks over the data blocks, and keeps account of which entries delivered theirs.
//!
//! A block is a type byte, a dump id and chunks; a chunk is a length and its bytes, and the length
//! 0 ends them. A block of large objects repeats (oid, chunks), and the oid 0 ends it. The format
//! has no mark for its own end.

use std::sync::Arc;

use super::cursor::{Cursor, Stop};
use crate::{ArchiveError, Awaited, DataKind, DataOffset, DumpId, Event, Proof, Toc, TocEntry};

/// `BLK_DATA`
pub(crate) const TABLE_BLOCK: u8 = 1;
/// `BLK_BLOBS`
pub(crate) const LARGE_OBJECTS_BLOCK: u8 = 3;

pub(super) struct Blocks {
    toc: Arc<Toc>,
    /// For each entry of the table of contents, whether its block has begun.
    begun: Vec<bool>,
    /// Entries that owe data and have not begun to deliver it.
    owed: usize,
    at: At,
    tables: usize,
    large_objects: u64,
    data_bytes: u64,
    block: Block,
}

/// What comes next.
enum At {
    /// A block, or the end.
    Block,
    /// The oid of a large object.
    Object,
    /// The length of a chunk.
    Chunk,
    /// This many bytes of a chunk; never 0.
    Data(usize),
}

/// The current block, or the one before.
#[derive(Default)]
struct Block {
    entry: usize,
    stored_bytes: u64,
    /// The oid of the current large object and its stored bytes.
    object: Option<(u32, u64)>,
}

impl Blocks {
    pub(super) fn new(toc: Arc<Toc>) -> Self {
        let (begun, owed) = (vec![false; toc.entries().len()], toc.data_entries().count());
        let (at, block) = (At::Block, Block::default());
        Self {
            toc,
            begun,
            owed,
            at,
            tables: 0,
            large_objects: 0,
            data_bytes: 0,
            block,
        }
    }

    /// Hands on the data at the start of `input` and says how much, if it is data that comes next.
    #[inline]
    pub(super) fn pass(&mut self, input: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Option<usize> {
        let At::Data(left) = self.at else { return None };
        let used = left.min(input.len());
        sink(Event::Data(&input[..used]));
        self.block.add(used as u64);
        self.at = if left == used {
            At::Chunk
        } else {
            At::Data(left - used)
        };
        Some(used)
    }

    /// Reads what comes next, other than data.
    #[inline]
    pub(super) fn step(
        &mut self,
        cursor: &mut Cursor<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Stop> {
        match self.at {
            At::Chunk => {
                let length = usize::try_from(cursor.int()?)
                    .map_err(|_| cursor.corrupt("a chunk's length is negative"))?;
                if length > 0 {
                    self.at = At::Data(length);
                } else {
                    self.end_stream(cursor.end_offset(), sink);
                }
            }
            At::Object => match cursor.int()? {
                0 => self.end_block(cursor.end_offset(), sink),
                signed => {
                    // pg_dump passes the unsigned oid through a signed integer.
                    let oid = signed.cast_unsigned();
                    self.large_objects += 1;
                    self.block.object = Some((oid, 0));
                    self.at = At::Chunk;
                    sink(Event::LargeObjectStart { oid });
                }
            },
            At::Block | At::Data(_) => self.start_block(cursor, sink)?,
        }
        Ok(())
    }

    fn start_block(
        &mut self,
        cursor: &mut Cursor<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Stop> {
        let kind = cursor.byte();
        let offset = cursor.offset();
        if self.owed == 0 {
            return Err(ArchiveError::TrailingBytes { offset }.into());
        }
        let kind = match kind? {
            TABLE_BLOCK => DataKind::Table,
            LARGE_OBJECTS_BLOCK => DataKind::LargeObjects,
            _ => return Err(cursor.corrupt("a data block is of an unknown type")),
        };
        let dump_id = DumpId::new(cursor.int()?)
            .ok_or_else(|| cursor.corrupt("a data block's dump id is below 1"))?;
        let index = self.toc.position(dump_id).ok_or_else(|| {
            cursor.corrupt("a data block's dump id is not in the table of contents")
        })?;
        let entry = &self.toc.entries()[index];
        if entry.data_kind() != Some(kind) {
            return Err(cursor.corrupt("a data block is not of the kind that its entry owes"));
        }
        if self.begun[index] {
            let name = entry.qualified_name();
            return Err(ArchiveError::DuplicateData {
                offset,
                dump_id,
                name,
            }
            .into());
        }
        if let DataOffset::At(said) = entry.data_offset
            && said != offset
        {
            return Err(cursor.corrupt("a data block is not where its entry says"));
        }
        self.begun[index] = true;
        self.owed -= 1;
        self.block = Block {
            entry: index,
            ..Block::default()
        };
        self.at = match kind {
            DataKind::Table => At::Chunk,
            DataKind::LargeObjects => At::Object,
        };
        sink(Event::DataStart { dump_id, kind });
        Ok(())
    }

    /// The chunks of a table or of a large object have ended, at `offset`.
    fn end_stream(&mut self, offset: u64, sink: &mut impl FnMut(Event<'_>)) {
        match self.block.object.take() {
            Some((oid, stored_bytes)) => {
                sink(Event::LargeObjectEnd { oid, stored_bytes });
                self.at = At::Object;
            }
            None => {
                self.tables += 1;
                self.end_block(offset, sink);
            }
        }
    }

    fn end_block(&mut self, end_offset: u64, sink: &mut impl FnMut(Event<'_>)) {
        let stored_bytes = self.block.stored_bytes;
        self.data_bytes += stored_bytes;
        self.at = At::Block;
        sink(Event::DataEnd {
            dump_id: self.entry().dump_id,
            stored_bytes,
            end_offset,
        });
    }

    fn entry(&self) -> &TocEntry {
        &self.toc.entries()[self.block.entry]
    }

    /// Whether the input may end here, after `position` bytes.
    pub(super) fn proof(&self, position: u64, between_values: bool) -> Result<Proof, ArchiveError> {
        let truncated = |awaited| {
            Err(ArchiveError::Truncated {
                offset: position,
                awaited,
            })
        };
        match self.at {
            At::Object | At::Chunk | At::Data(_) => {
                let entry = self.entry();
                let name = entry.qualified_name();
                truncated(Awaited::Data {
                    dump_id: entry.dump_id,
                    name,
                })
            }
            At::Block if !between_values => truncated(Awaited::BlockHeader),
            At::Block => match self.first_owed() {
                Some(entry) => Err(ArchiveError::MissingData {
                    dump_id: entry.dump_id,
                    name: entry.qualified_name(),
                    missing: self.owed,
                }),
                None => Ok(Proof {
                    entries: self.toc.entries().len(),
                    data_blocks: self.toc.data_entries().count(),
                    tables: self.tables,
                    large_objects: self.large_objects,
                    data_bytes: self.data_bytes,
                    archive_bytes: position,
                }),
            },
        }
    }

    fn first_owed(&self) -> Option<&TocEntry> {
        let entries = self.toc.entries().iter().zip(&self.begun);
        entries
            .filter(|(_, begun)| !**begun)
            .map(|(entry, _)| entry)
            .find(|entry| entry.owes_data)
    }
}

impl Block {
    #[inline]
    fn add(&mut self, bytes: u64) {
        self.stored_bytes += bytes;
        if let Some((_, object_bytes)) = &mut self.object {
            *object_bytes += bytes;
        }
    }
}

//! What the parser reports while an archive passes.

use std::sync::Arc;

use crate::{DumpId, Header, Toc};

/// One step through an archive, in the order of its bytes.
///
/// `Header`, `Toc`, then for each data block `DataStart`, `Data`…, `DataEnd`. Inside a block of
/// large objects each object is `LargeObjectStart`, `Data`…, `LargeObjectEnd`. How the input was
/// cut into pushes changes nothing but the cuts between adjacent `Data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The header is complete.
    Header(&'a Header),
    /// The table of contents is complete.
    Toc(&'a Arc<Toc>),
    /// A data block begins.
    DataStart {
        /// The entry whose data this is.
        dump_id: DumpId,
        /// What the block holds.
        kind: DataKind,
    },
    /// One large object of a block begins.
    LargeObjectStart {
        /// The object's oid.
        oid: u32,
    },
    /// Bytes of the current block (or large object) as they are stored, perhaps compressed; never
    /// empty, and a slice of what was pushed.
    Data(&'a [u8]),
    /// The current large object is complete.
    LargeObjectEnd {
        /// The object's oid.
        oid: u32,
        /// The bytes that [`Event::Data`] gave for it.
        stored_bytes: u64,
    },
    /// The current data block is complete.
    DataEnd {
        /// The entry whose data this was.
        dump_id: DumpId,
        /// The bytes that [`Event::Data`] gave for it.
        stored_bytes: u64,
        /// Where the block ends in the archive, and the next begins if there is one.
        end_offset: u64,
    },
}

/// What a data block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DataKind {
    /// One table's rows: one stream, COPY text or INSERT commands.
    Table,
    /// Large objects: one stream for each.
    LargeObjects,
}

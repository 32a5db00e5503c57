#![doc = include_str!("../README.md")]

mod block_check;
mod checksum;
mod codec;
mod copy;
mod decode;
mod encode;
mod error;
mod event;
mod head_check;
mod header;
mod index;
mod indexing;
mod limits;
mod lz4;
mod offsets;
mod parser;
mod proof;
mod recompress;
mod select;
mod tally;
mod text;
mod toc;
mod version;

pub use block_check::{BlockCheck, BlockDamage, Difference, check_block};
pub use checksum::{Checksum, Checksummer, InvalidChecksum};
pub use codec::{Codec, InvalidCodec};
pub use copy::CopyDamage;
pub use decode::{DecodeError, Decoder};
pub use encode::{EncodeError, encode};
pub use error::{ArchiveError, Awaited, Bound};
pub use event::{DataKind, Event};
pub use head_check::{HeadCheck, HeadDamage};
pub use header::{Compression, Created, Header};
pub use index::{Index, IndexEntry, LayoutError, SoFar};
pub use indexing::{IndexError, IndexingParser};
pub use limits::Limits;
pub use offsets::{FillOffsetsError, fill_offsets};
pub use parser::Parser;
pub use proof::Proof;
pub use recompress::{
    AssembleError, Assembler, PackError, Packed, Packer, Piece, RecompressError, Recompression,
    Recompressor,
};
pub use select::{Incomplete, LeftOut, Missing, Reason, SelectError, Selection, TableName};
pub use text::Text;
pub use toc::{DataOffset, DumpId, Section, Toc, TocEntry};
pub use version::ArchiveVersion;

//! Compresses pieces.

use std::fmt;
use std::sync::Arc;

use super::codecs::FragmentCodec;
use super::piece::{Piece, Step};
use crate::copy::Signs;
use crate::encode::int;
use crate::parser::{LARGE_OBJECTS_BLOCK, TABLE_BLOCK};
use crate::tally::Totals;
use crate::{Codec, Compression, DataKind, DumpId, Toc};

/// What ends a stream's chunks, and a block's large objects.
const END: i32 = 0;
/// The bytes of an integer.
const INT_BYTES: usize = 5;

/// A piece could not be compressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not compress with {compression}: {what}")]
pub struct PackError {
    /// The compression.
    pub compression: Compression,
    /// What its library said.
    pub what: String,
}

/// Compresses one [`Piece`] after another; keeps its codec's memory between them. One for each
/// thread.
pub struct Packer {
    codec: FragmentCodec,
}

impl Packer {
    /// A packer for this codec, which must be that of the [`Recompressor`](super::Recompressor).
    ///
    /// # Errors
    ///
    /// What the codec's library says.
    pub fn new(codec: Codec) -> Result<Self, PackError> {
        let codec = FragmentCodec::new(codec)?;
        Ok(Self { codec })
    }

    /// Compresses a text by itself and returns its compressed size: to see what a codec makes of
    /// a sample, and how long it takes.
    ///
    /// # Errors
    ///
    /// What the codec's library says.
    pub fn try_on(&mut self, text: &[u8]) -> Result<usize, PackError> {
        let mut packed = Vec::new();
        self.codec.pack(text, true, true, &mut packed)?;
        Ok(packed.len())
    }

    pub(super) fn pack(&mut self, piece: Piece) -> Result<Packed, PackError> {
        let mut packed = Packed {
            sequence: piece.sequence,
            toc: None,
            bytes: Vec::new(),
            marks: Vec::with_capacity(piece.steps.len()),
        };
        if let Some((head, toc)) = piece.head {
            packed.toc = Some(toc);
            packed.bytes = head;
            packed.mark(Mark::HeadEnd);
        }
        let mut raw = &piece.raw[..];
        for step in piece.steps {
            match step {
                Step::BlockStart { dump_id, kind } => {
                    packed.bytes.push(match kind {
                        DataKind::Table => TABLE_BLOCK,
                        DataKind::LargeObjects => LARGE_OBJECTS_BLOCK,
                    });
                    packed.int(dump_id.get());
                    packed.mark(Mark::BlockStart { dump_id, kind });
                }
                // pg_dump passes the unsigned oid through a signed integer.
                Step::ObjectStart { oid } => packed.int(oid.cast_signed()),
                Step::Fragment { bytes, first, last } => {
                    let (fragment, rest) = raw.split_at(bytes.min(raw.len()));
                    raw = rest;
                    self.fragment(fragment, first, last, &mut packed)?;
                }
                Step::BlockEnd { kind, totals } => {
                    if kind == DataKind::LargeObjects {
                        packed.int(END);
                    }
                    packed.mark(Mark::BlockEnd(totals));
                }
            }
        }
        Ok(packed)
    }

    /// One chunk, or none where nothing of the stream is left to say.
    fn fragment(
        &mut self,
        raw: &[u8],
        first: bool,
        last: bool,
        packed: &mut Packed,
    ) -> Result<(), PackError> {
        let chunk = packed.bytes.len();
        packed.int(END);
        let adler = self.codec.pack(raw, first, last, &mut packed.bytes)?;
        let stored = packed.bytes.len() - chunk - INT_BYTES;
        if stored == 0 {
            packed.bytes.truncate(chunk);
        } else {
            // A piece is of a few MiB.
            let length = i32::try_from(stored).unwrap_or(i32::MAX);
            packed.bytes[chunk..chunk + INT_BYTES].copy_from_slice(&int(length));
        }
        packed.mark(Mark::Fragment {
            raw_bytes: raw.len() as u64,
            stored_bytes: stored as u64,
            signs: Signs::of(raw),
            adler,
            first,
            last,
        });
        if last {
            packed.int(END);
        }
        Ok(())
    }
}

/// A compressed [`Piece`].
pub struct Packed {
    pub(super) sequence: u64,
    pub(super) toc: Option<Arc<Toc>>,
    pub(super) bytes: Vec<u8>,
    /// What was written up to which byte.
    pub(super) marks: Vec<(usize, Mark)>,
}

/// What ends at a place of a packed piece.
pub(super) enum Mark {
    HeadEnd,
    /// The type and dump id of a block.
    BlockStart {
        dump_id: DumpId,
        kind: DataKind,
    },
    Fragment {
        raw_bytes: u64,
        stored_bytes: u64,
        signs: Signs,
        /// The Adler-32 of the raw bytes, for gzip; in the last fragment of a stream the last four
        /// bytes are the place for the whole stream's.
        adler: Option<u32>,
        first: bool,
        last: bool,
    },
    BlockEnd(Totals),
}

impl Packed {
    /// How much there will be to write, in bytes.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn int(&mut self, value: i32) {
        self.bytes.extend_from_slice(&int(value));
    }

    fn mark(&mut self, mark: Mark) {
        self.marks.push((self.bytes.len(), mark));
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed")
            .field("sequence", &self.sequence)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

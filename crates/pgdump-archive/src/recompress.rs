//! An archive without compression in, the same archive with compression out, so that the work can
//! be done on many threads.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use crate::tally::Tally;
use crate::{
    ArchiveError, Codec, Compression, DataKind, EncodeError, Event, Header, Limits, Parser, Proof,
    Toc, encode,
};
use piece::Step;

pub use assemble::{AssembleError, Assembler};
pub use pack::{PackError, Packed, Packer};
pub use piece::Piece;

mod assemble;
mod codecs;
mod pack;
mod piece;

/// What a step of a piece counts for beside its raw bytes: many small streams fill a piece too.
const STEP_BYTES: usize = 128;

/// Why an archive cannot be compressed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecompressError {
    /// The archive was refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archive's version cannot record the compression.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The archive is compressed already; pg_dump must write it with `-Z0`.
    #[error("the archive is compressed already, with {found}")]
    Compressed {
        /// The compression that it has.
        found: Compression,
    },
}

/// How to compress an archive again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recompression {
    /// How its data is compressed.
    pub codec: Codec,
    /// Whether an archive of version 1.14 may become one of 1.15, which pg_restore 16 or later
    /// reads, where the codec needs it.
    pub raise_version: bool,
    /// Bounds on memory.
    pub limits: Limits,
}

impl Recompression {
    /// With this codec, the version as it is, and the default [`Limits`].
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            raise_version: false,
            limits: Limits::default(),
        }
    }

    /// Sets [`raise_version`](Self::raise_version).
    #[must_use]
    pub fn with_raise_version(mut self, raise: bool) -> Self {
        self.raise_version = raise;
        self
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// Splits an archive without compression (`pg_dump -Z0`) into [`Piece`]s, which are compressed by a
/// [`Packer`] each, on any thread, and put together in order by the [`Assembler`].
///
/// A piece holds raw data of about [`Codec::piece_bytes`] from one table or many; how the archive
/// was cut into pushes changes nothing in it. Data offsets are left out of the table of contents,
/// since sizes change: [`fill_offsets`](crate::fill_offsets) adds the new ones.
///
/// Memory: that of the parser, the encoded table of contents once, and one piece, besides those
/// that were not yet [taken](Self::take_piece): of one push no more than it fills.
pub struct Recompressor {
    parser: Parser,
    splitter: Splitter,
}

impl Recompressor {
    /// A recompressor at the start of an archive.
    #[must_use]
    pub fn new(how: Recompression) -> Self {
        Self {
            parser: Parser::with_limits(how.limits),
            splitter: Splitter {
                how,
                header: None,
                ready: VecDeque::new(),
                sequence: 0,
                piece: Piece::default(),
                open: None,
                tally: Tally::default(),
                failed: None,
            },
        }
    }

    /// Reads the next bytes of the archive, and calls `sink` for each event in order. Afterwards
    /// [take](Self::take_piece) the pieces that have become ready.
    ///
    /// # Errors
    ///
    /// Whatever shows that this is not a readable archive, or that it cannot be compressed
    /// so. Every later call returns the same error.
    pub fn push(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), RecompressError> {
        let splitter = &mut self.splitter;
        if let Some(error) = &splitter.failed {
            return Err(error.clone());
        }
        let result = self.parser.push(bytes, &mut |event| {
            splitter.see(event);
            sink(event);
        });
        if splitter.failed.is_none() {
            splitter.failed = result.err().map(RecompressError::Archive);
        }
        splitter.failed.clone().map_or(Ok(()), Err)
    }

    /// The next piece that is ready, in the archive's order.
    pub fn take_piece(&mut self) -> Option<Piece> {
        self.splitter.ready.pop_front()
    }

    /// The end of the stream: the last pieces, and the proof that what was read is whole, for
    /// [`Assembler::finish`].
    ///
    /// # Errors
    ///
    /// As [`Parser::finish`], and the error of an earlier [`push`](Self::push) if there was one.
    pub fn finish(mut self) -> Result<(Vec<Piece>, Proof), RecompressError> {
        if let Some(error) = self.splitter.failed {
            return Err(error);
        }
        let proof = self.parser.finish()?;
        self.splitter.cut();
        Ok((self.splitter.ready.into(), proof))
    }

    /// The header of what is written, once that of what is read is complete.
    #[must_use]
    pub fn stored_header(&self) -> Option<&Header> {
        self.splitter.header.as_ref()
    }

    /// The header of what is read, once it is complete.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.parser.header()
    }

    /// The table of contents, once it is complete.
    #[must_use]
    pub fn toc(&self) -> Option<&Arc<Toc>> {
        self.parser.toc()
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.parser.position()
    }
}

/// Gathers events into pieces.
struct Splitter {
    how: Recompression,
    /// The header as it will be written.
    header: Option<Header>,
    ready: VecDeque<Piece>,
    sequence: u64,
    piece: Piece,
    /// The current stream, if there is one.
    open: Option<Stream>,
    tally: Tally,
    failed: Option<RecompressError>,
}

/// The part of a stream that is in the current piece.
struct Stream {
    /// Where in the piece's raw bytes it begins.
    start: usize,
    /// Whether the stream itself begins there.
    first: bool,
}

impl Splitter {
    #[inline]
    fn see(&mut self, event: Event<'_>) {
        match event {
            Event::Data(bytes) => self.data(bytes),
            _ => self.see_other(event),
        }
    }

    #[inline]
    fn data(&mut self, bytes: &[u8]) {
        let room = self.piece.room();
        if bytes.len() <= room {
            self.piece.raw.extend_from_slice(bytes);
        } else {
            self.fill(bytes);
        }
    }

    /// Adds data that does not fit into the current piece.
    #[cold]
    fn fill(&mut self, mut bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        while !bytes.is_empty() {
            if self.piece.room() == 0 {
                let first = self.end_fragment(false);
                self.cut();
                self.open = Some(Stream { start: 0, first });
            }
            let (now, later) = bytes.split_at(self.piece.room().min(bytes.len()));
            self.piece.raw.extend_from_slice(now);
            bytes = later;
        }
    }

    fn see_other(&mut self, event: Event<'_>) {
        if self.failed.is_some() {
            return;
        }
        match event {
            Event::Header(header) => match self.new_header(header) {
                Ok(header) => self.header = Some(header),
                Err(error) => self.failed = Some(error),
            },
            Event::Toc(toc) => self.failed = self.start(toc).err(),
            Event::DataStart { dump_id, kind } => {
                self.cut_if_nearly_full();
                self.tally.start();
                self.step(Step::BlockStart { dump_id, kind });
                if kind == DataKind::Table {
                    self.start_stream();
                }
            }
            Event::LargeObjectStart { oid } => {
                self.cut_if_nearly_full();
                self.tally.start_object(oid);
                self.step(Step::ObjectStart { oid });
                self.start_stream();
            }
            Event::LargeObjectEnd { .. } => {
                self.end_fragment(true);
                self.tally.end_object();
            }
            Event::DataEnd { .. } => {
                // A table's stream is open, that of a large object is not.
                let table = self.open.is_some();
                self.end_fragment(true);
                let kind = if table {
                    DataKind::Table
                } else {
                    DataKind::LargeObjects
                };
                let totals = self.tally.totals();
                self.step(Step::BlockEnd { kind, totals });
            }
            Event::Data(_) => {}
        }
    }

    fn new_header(&self, header: &Header) -> Result<Header, RecompressError> {
        if header.compression != Compression::None {
            let found = header.compression;
            return Err(RecompressError::Compressed { found });
        }
        let codec = self.how.codec;
        let level = codec.level().map(i32::from);
        Ok(header.with_compression(codec.compression(), level, self.how.raise_version)?)
    }

    /// Makes the first piece, which is the head alone.
    fn start(&mut self, toc: &Arc<Toc>) -> Result<(), RecompressError> {
        let Some(header) = &self.header else {
            return Ok(());
        };
        let head = encode(header, &toc.with_offsets(|_| None))?;
        self.piece.head = Some((head, Arc::clone(toc)));
        self.cut();
        Ok(())
    }

    fn step(&mut self, step: Step) {
        self.piece.steps.push(step);
        self.piece.weight += STEP_BYTES;
    }

    fn start_stream(&mut self) {
        let start = self.piece.raw.len();
        self.open = Some(Stream { start, first: true });
    }

    /// Ends the current fragment, if there is one, and says whether the next one of its stream
    /// would be the first.
    fn end_fragment(&mut self, last: bool) -> bool {
        let Some(Stream { start, first }) = self.open.take() else {
            return false;
        };
        self.tally.add(&self.piece.raw[start..]);
        let bytes = self.piece.raw.len() - start;
        if bytes == 0 && !last {
            // Nothing of the stream fits here: all of it comes in the next piece.
            return first;
        }
        self.step(Step::Fragment { bytes, first, last });
        false
    }

    /// A stream that would have only a small part in this piece begins in the next one.
    fn cut_if_nearly_full(&mut self) {
        if self.piece.room() < self.how.codec.piece_bytes() / 4 {
            self.cut();
        }
    }

    /// The current piece is ready.
    fn cut(&mut self) {
        let next = Piece::new(self.how.codec.piece_bytes());
        let mut piece = mem::replace(&mut self.piece, next);
        if piece.is_empty() {
            return;
        }
        piece.sequence = self.sequence;
        self.sequence += 1;
        self.ready.push_back(piece);
    }
}

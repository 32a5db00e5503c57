//! The parser that also decompresses what passes, and makes an index of it.

use std::mem;
use std::sync::Arc;

use crate::checksum::Checksummer;
use crate::copy::{CopyDamage, Signs};
use crate::tally::{Block, Tally};
use crate::{
    ArchiveError, Compression, DataKind, DecodeError, Decoder, DumpId, Event, Header, Index,
    IndexEntry, Limits, Parser, Proof, SoFar, Toc, TocEntry,
};

/// Why no index could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The archive was refused.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The data of one entry cannot be decompressed.
    #[error("the data of {name} (dump id {dump_id}) is damaged")]
    Data {
        /// The entry.
        dump_id: DumpId,
        /// The entry's name.
        name: String,
        /// What is wrong with the data.
        source: DecodeError,
    },
    /// The data of one entry is not what COPY and pg_dump write: it would not restore.
    #[error("the data of {name} (dump id {dump_id}) is not whole")]
    Copy {
        /// The entry.
        dump_id: DumpId,
        /// The entry's name.
        name: String,
        /// What is wrong with the data.
        source: CopyDamage,
    },
}

/// Reads an archive as [`Parser`] does, decompresses its data for counting and checking, and gives
/// an [`Index`] at the end. The bytes themselves are for the caller to keep: nothing is changed.
///
/// Memory: that of the parser, of one [`Decoder`], and of the index, which is about 200 bytes and
/// two names for each data block.
pub struct IndexingParser {
    parser: Parser,
    watch: Watch,
    head_bytes: u64,
    head: Checksummer,
    failed: Option<IndexError>,
}

impl Default for IndexingParser {
    fn default() -> Self {
        Self::new()
    }
}

impl IndexingParser {
    /// A parser at the start of an archive, with the default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A parser at the start of an archive.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self::around(Parser::with_limits(limits), Watch::default())
    }

    /// A parser at the start of a data block, which is at `offset`. Of what `toc` lists only the
    /// blocks that follow are awaited.
    pub(crate) fn at_block(toc: Arc<Toc>, compression: Compression, offset: u64) -> Self {
        let watch = Watch {
            compression,
            toc: Some(Arc::clone(&toc)),
            block_start: offset,
            ..Watch::default()
        };
        Self::around(Parser::at_block(toc, offset), watch)
    }

    fn around(parser: Parser, watch: Watch) -> Self {
        Self {
            parser,
            watch,
            head_bytes: 0,
            head: Checksummer::default(),
            failed: None,
        }
    }

    /// Reads the next bytes of the archive, and calls `sink` for each event in order; data comes
    /// as it is stored.
    ///
    /// # Errors
    ///
    /// Whatever shows that the archive cannot be read or its data not be decompressed. `sink` may
    /// have got events of what follows the damaged data. Every later call returns the same error.
    pub fn push(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), IndexError> {
        self.push_raw(bytes, sink, &mut |_| {})
    }

    /// The same; `raw` gets the data of tables and large objects without compression, before it is known to be whole.
    pub(crate) fn push_raw(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>),
        raw: &mut impl FnMut(&[u8]),
    ) -> Result<(), IndexError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.read(bytes, sink, raw);
        // What went wrong first comes first, however the input was cut.
        let result = self.watch.failed.take().map_or(result, Err);
        self.failed = result.clone().err();
        result
    }

    fn read(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>),
        raw: &mut impl FnMut(&[u8]),
    ) -> Result<(), IndexError> {
        while self.parser.toc().is_none() && !bytes.is_empty() {
            let watch = &mut self.watch;
            let used = self.parser.push_some(bytes, &mut |event| {
                watch.see_head(event);
                sink(event);
            })?;
            let (head, rest) = bytes.split_at(used);
            self.head.add(head);
            self.head_bytes += used as u64;
            self.watch.block_start = self.head_bytes;
            bytes = rest;
        }
        let watch = &mut self.watch;
        watch.input_start = self.parser.position();
        watch.hashed = 0;
        self.parser.push(bytes, &mut |event| {
            watch.see(event, bytes, raw);
            sink(event);
        })?;
        watch.hash(bytes, bytes.len());
        Ok(())
    }

    /// The end of the stream.
    ///
    /// # Errors
    ///
    /// As [`Parser::finish`], and the error of an earlier [`push`](Self::push) if there was one.
    pub fn finish(mut self) -> Result<(Proof, Index), IndexError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let proof = self.parser.finish()?;
        let index = Index {
            head_bytes: self.head_bytes,
            head_xxh3_128: self.head.take(),
            entries: self.watch.entries,
        };
        Ok((proof, index))
    }

    /// The header, once it is complete.
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

    /// What has been counted of the current block, which is not among the [entries](Self::entries) yet.
    #[must_use]
    pub fn so_far(&self) -> SoFar {
        let open = self.watch.at.is_some();
        SoFar {
            raw_bytes: if open {
                self.watch.tally.raw_bytes()
            } else {
                0
            },
            newlines: if open { self.watch.signs.newlines } else { 0 },
        }
    }

    /// The entries of the blocks that are complete.
    #[must_use]
    pub fn entries(&self) -> &[IndexEntry] {
        &self.watch.entries
    }
}

/// What is gathered from the events.
struct Watch {
    compression: Compression,
    toc: Option<Arc<Toc>>,
    decoder: Option<Decoder>,
    tally: Tally,
    signs: Signs,
    /// The entry whose block is being read, and what it holds.
    at: Option<(DumpId, DataKind)>,
    /// The stored bytes of the current block, so far.
    block: Checksummer,
    block_start: u64,
    /// Where the bytes that are read now begin in the archive, and how many of them were hashed.
    input_start: u64,
    hashed: usize,
    entries: Vec<IndexEntry>,
    failed: Option<IndexError>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            toc: None,
            decoder: None,
            tally: Tally::default(),
            signs: Signs::default(),
            at: None,
            block: Checksummer::default(),
            block_start: 0,
            input_start: 0,
            hashed: 0,
            entries: Vec::new(),
            failed: None,
        }
    }
}

impl Watch {
    fn see_head(&mut self, event: Event<'_>) {
        match event {
            Event::Header(header) => self.compression = header.compression,
            Event::Toc(toc) => self.toc = Some(Arc::clone(toc)),
            _ => {}
        }
    }

    fn see(&mut self, event: Event<'_>, input: &[u8], raw: &mut impl FnMut(&[u8])) {
        if self.failed.is_some() {
            return;
        }
        if let Err(source) = self.decode(event, raw) {
            // There is one: nothing is decoded before a block has begun.
            self.failed = self.at.map(|(dump_id, _)| {
                let owner = self.toc.as_ref().and_then(|toc| toc.get(dump_id));
                IndexError::Data {
                    dump_id,
                    name: owner.map(TocEntry::qualified_name).unwrap_or_default(),
                    source,
                }
            });
        } else if let Event::DataEnd {
            stored_bytes,
            end_offset,
            ..
        } = event
        {
            self.end_block(input, stored_bytes, end_offset);
        }
    }

    fn decode(
        &mut self,
        event: Event<'_>,
        take: &mut impl FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        match event {
            Event::DataStart { dump_id, kind } => {
                self.at = Some((dump_id, kind));
                self.tally.start();
                self.signs = Signs::default();
                if self.decoder.is_none() {
                    self.decoder = Some(Decoder::new(self.compression)?);
                }
            }
            Event::LargeObjectStart { oid } => self.tally.start_object(oid),
            Event::Data(stored) => {
                let (tally, signs) = (&mut self.tally, &mut self.signs);
                if let Some(decoder) = &mut self.decoder {
                    decoder.push(stored, &mut |raw| {
                        tally.add(raw);
                        signs.add(Signs::of(raw));
                        take(raw);
                    })?;
                }
            }
            Event::LargeObjectEnd { .. } => {
                self.end_stream()?;
                self.tally.end_object();
            }
            Event::DataEnd { .. } if self.at.is_some_and(|(_, kind)| kind == DataKind::Table) => {
                self.end_stream()?;
            }
            _ => {}
        }
        Ok(())
    }

    fn end_stream(&mut self) -> Result<(), DecodeError> {
        self.decoder.as_mut().map_or(Ok(()), Decoder::finish)
    }

    fn end_block(&mut self, input: &[u8], stored_bytes: u64, end_offset: u64) {
        // The block's last byte is in the current input, or the block would have ended before.
        let used = usize::try_from(end_offset.saturating_sub(self.input_start));
        self.hash(input, used.unwrap_or(input.len()).min(input.len()));
        let offset = mem::replace(&mut self.block_start, end_offset);
        let block = Block {
            signs: self.signs,
            stored_bytes,
            offset,
            bytes: end_offset.saturating_sub(offset),
            checksum: self.block.take(),
        };
        let totals = self.tally.totals();
        if let Some((dump_id, kind)) = self.at.take()
            && let Some(owner) = self.toc.as_ref().and_then(|toc| toc.get(dump_id))
        {
            match totals.entry(owner, kind, block) {
                Ok(entry) => self.entries.push(entry),
                Err(source) => {
                    let name = owner.qualified_name();
                    self.failed = Some(IndexError::Copy {
                        dump_id,
                        name,
                        source,
                    });
                }
            }
        }
    }

    fn hash(&mut self, input: &[u8], end: usize) {
        self.block.add(&input[self.hashed.min(end)..end]);
        self.hashed = end;
    }
}

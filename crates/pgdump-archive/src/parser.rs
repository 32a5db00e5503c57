//! The push parser: bytes in, events out, and a proof at the end.

use std::mem;
use std::sync::Arc;

use crate::{ArchiveError, ArchiveVersion, Awaited, Event, Header, Limits, Proof, Toc};
use blocks::Blocks;
use cursor::{Cursor, Stop};
use entry::TocReader;

pub(crate) use blocks::{LARGE_OBJECTS_BLOCK, TABLE_BLOCK};

mod blocks;
mod cursor;
mod entry;
mod head;

/// A buffer that grew beyond this, for a long string, is given back.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// Reads a custom-format archive as it comes, in pieces of any size.
///
/// Data is never copied or kept: memory grows only with the table of contents, up to
/// [`Limits::max_toc_bytes`]. Any bytes are safe to push.
pub struct Parser {
    limits: Limits,
    /// Bytes taken so far.
    position: u64,
    /// The start of a group of values whose end has not arrived.
    partial: Vec<u8>,
    /// How many bytes `partial` needs before its next value can be read; it never has more.
    needed: usize,
    header: Option<Header>,
    toc: Option<Arc<Toc>>,
    state: State,
}

enum State {
    Version,
    Header(ArchiveVersion),
    TocStart(ArchiveVersion, u8),
    Toc(TocReader),
    Blocks(Blocks),
    Failed(ArchiveError),
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of an archive, with the default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A parser at the start of an archive.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            position: 0,
            partial: Vec::new(),
            needed: 0,
            header: None,
            toc: None,
            state: State::Version,
        }
    }

    /// A parser at the start of a data block at `offset`, beyond the head that gave `toc`.
    pub(crate) fn at_block(toc: Arc<Toc>, offset: u64) -> Self {
        let mut parser = Self::new();
        parser.position = offset;
        parser.state = State::Blocks(Blocks::new(Arc::clone(&toc)));
        parser.toc = Some(toc);
        parser
    }

    /// Reads the next bytes of the archive, and calls `sink` for each event in order.
    ///
    /// # Errors
    ///
    /// Whatever shows that this is not a readable archive. The events before it were given
    /// to `sink`. Every later call returns the same error.
    pub fn push(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ArchiveError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.push_some(rest, sink)?..];
        }
        Ok(())
    }

    /// Reads some of `bytes`, which are not empty, and says how much. Never reads beyond the end of
    /// the table of contents in one call.
    pub(crate) fn push_some(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ArchiveError> {
        match self.advance(bytes, sink) {
            Ok(used) => {
                self.position += used as u64;
                Ok(used)
            }
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// The end of the stream: proves that a whole archive went through.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Truncated`] or [`ArchiveError::MissingData`] if the archive is not whole,
    /// and the error of an earlier [`push`](Self::push) if there was one.
    pub fn finish(self) -> Result<Proof, ArchiveError> {
        self.proof()
    }

    /// The header, once it is complete.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The table of contents, once it is complete.
    #[must_use]
    pub fn toc(&self) -> Option<&Arc<Toc>> {
        self.toc.as_ref()
    }

    /// How many bytes were read. After an error it stays at what was read before the piece of
    /// input that was wrong.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    fn proof(&self) -> Result<Proof, ArchiveError> {
        let truncated = |awaited| ArchiveError::Truncated {
            offset: self.position,
            awaited,
        };
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Version if !head::may_be_archive(&self.partial) => {
                Err(ArchiveError::NotAnArchive)
            }
            State::Version | State::Header(_) => Err(truncated(Awaited::Header)),
            State::TocStart(..) => Err(truncated(Awaited::Toc {
                read: 0,
                announced: None,
            })),
            State::Toc(toc) => {
                let (read, announced) = (toc.read(), Some(toc.announced()));
                Err(truncated(Awaited::Toc { read, announced }))
            }
            State::Blocks(blocks) => blocks.proof(self.position, self.partial.is_empty()),
        }
    }

    /// Reads some of `input`, which is not empty, and says how much.
    fn advance(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ArchiveError> {
        if let State::Blocks(blocks) = &mut self.state
            && let Some(used) = blocks.pass(input, sink)
        {
            return Ok(used);
        }
        if self.partial.is_empty() {
            return match self.step(input, self.position, sink) {
                Ok(used) => Ok(used),
                Err(Stop::Need(needed)) => {
                    self.partial.extend_from_slice(input);
                    self.needed = needed;
                    Ok(input.len())
                }
                Err(Stop::Fail(error)) => Err(error),
            };
        }
        let used = input.len().min(self.needed - self.partial.len());
        self.partial.extend_from_slice(&input[..used]);
        if self.partial.len() == self.needed {
            let mut partial = mem::take(&mut self.partial);
            let base = self.position + used as u64 - partial.len() as u64;
            match self.step(&partial, base, sink) {
                // All of it was used: the last value that it needed was the group's last.
                Ok(_) if partial.capacity() > MAX_KEPT_BYTES => partial = Vec::new(),
                Ok(_) => partial.clear(),
                Err(Stop::Need(needed)) => self.needed = needed,
                Err(Stop::Fail(error)) => return Err(error),
            }
            self.partial = partial;
        }
        Ok(used)
    }

    /// Reads one group of values from the start of `bytes`, which begin at `base` in the archive,
    /// and says how many bytes it had. Changes nothing where bytes are missing.
    fn step(
        &mut self,
        bytes: &[u8],
        base: u64,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, Stop> {
        let mut cursor = Cursor::new(bytes, base);
        match &mut self.state {
            State::Blocks(blocks) => blocks.step(&mut cursor, sink)?,
            State::Toc(toc) => {
                cursor = cursor.with_room(toc.room(), self.limits.max_toc_bytes);
                toc.step(&mut cursor)?;
                self.end_toc_if_complete(base + cursor.used() as u64, sink)?;
            }
            State::Version => self.state = State::Header(head::version(&mut cursor)?),
            State::Header(version) => {
                let header = head::header(&mut cursor, *version)?;
                self.state = State::TocStart(header.version, header.off_size);
                sink(Event::Header(self.header.insert(header)));
            }
            State::TocStart(version, off_size) => {
                let toc = TocReader::start(&mut cursor, *version, *off_size, self.limits)?;
                self.state = State::Toc(toc);
                self.end_toc_if_complete(base + cursor.used() as u64, sink)?;
            }
            State::Failed(error) => return Err(Stop::Fail(error.clone())),
        }
        Ok(cursor.used())
    }

    fn end_toc_if_complete(
        &mut self,
        offset: u64,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ArchiveError> {
        if let State::Toc(reader) = &mut self.state
            && reader.is_complete()
        {
            let toc = Arc::new(reader.finish(offset)?);
            sink(Event::Toc(&toc));
            self.state = State::Blocks(Blocks::new(Arc::clone(&toc)));
            self.toc = Some(toc);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushed byte by byte, so that each archive is read once and not once for each cut; that the
    /// cuts of a push change nothing is a test of its own.
    #[test]
    fn a_cut_at_every_byte_of_every_golden_archive_is_detected() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let mut archives = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "dump") {
                continue;
            }
            archives += 1;
            let mut parser = Parser::new();
            for (cut, byte) in std::fs::read(&path).unwrap().into_iter().enumerate() {
                let proof = parser.proof();
                assert!(
                    matches!(
                        proof,
                        Err(ArchiveError::Truncated { .. } | ArchiveError::MissingData { .. })
                    ),
                    "{} cut at {cut}: {proof:?}",
                    path.display()
                );
                parser.push(&[byte], &mut |_| {}).unwrap();
                assert!(
                    parser.partial.len() <= parser.needed,
                    "no byte too many is kept"
                );
            }
            assert!(parser.finish().is_ok(), "{}", path.display());
        }
        assert!(archives > 20);
    }
}

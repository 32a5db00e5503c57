//! The thread that reads what passes: parses and counts, and lets the output encrypt and hash.
//!
//! One thread for both: SHA-256 with the processor's own instructions and the parser together are several times
//! faster than pg_dump writes, and a second thread would take a processor from pg_dump and the server.

use std::sync::Arc;

use pgdump_archive::{ArchiveError, IndexingParser};
use tokio::sync::mpsc;

use super::Message;
use super::end::{ArchiveEnd, Proved, Streamed, Unread};
use super::error::StreamEnd;
use super::meter::Meter;
use super::output::Output;

/// What every archive begins with, whatever its version.
const MAGIC: &[u8] = b"PGDMP";

pub(super) struct Reader {
    reading: Reading,
    meter: Arc<Meter>,
}

enum Reading {
    Parser(Box<IndexingParser>),
    Unread { reason: String, first: Vec<u8> },
}

impl Reader {
    /// Of an archive that must be whole.
    pub(super) fn reading(meter: Arc<Meter>) -> Self {
        Self::new(Reading::Parser(Box::default()), meter)
    }

    /// Of an archive that this build cannot read.
    pub(super) fn unread(reason: String, meter: Arc<Meter>) -> Self {
        let first = Vec::with_capacity(MAGIC.len());
        Self::new(Reading::Unread { reason, first }, meter)
    }

    fn new(reading: Reading, meter: Arc<Meter>) -> Self {
        Self { reading, meter }
    }

    /// Blocks until the stream ends.
    pub(super) fn run(
        mut self,
        mut incoming: mpsc::Receiver<Message>,
        mut output: Output<'_>,
    ) -> Result<Streamed, StreamEnd> {
        loop {
            match incoming.blocking_recv().ok_or(StreamEnd::Abandoned)? {
                Message::Bytes(bytes) => {
                    self.read(&bytes)?;
                    output.send(bytes)?;
                }
                Message::End => return output.end(self.end()?, None),
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), StreamEnd> {
        match &mut self.reading {
            Reading::Parser(parser) => {
                parser.push(bytes, &mut |event| self.meter.saw(event))?;
                self.meter.counts(parser.entries(), parser.so_far());
            }
            Reading::Unread { first, .. } => {
                let wanted = MAGIC.len() - first.len();
                first.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
            }
        }
        Ok(())
    }

    fn end(self) -> Result<ArchiveEnd, StreamEnd> {
        match self.reading {
            Reading::Parser(parser) => prove(*parser),
            Reading::Unread { first, .. } if first != MAGIC => {
                Err(ArchiveError::NotAnArchive.into())
            }
            Reading::Unread { reason, .. } => Ok(ArchiveEnd::Unread(Unread { reason })),
        }
    }
}

fn prove(parser: IndexingParser) -> Result<ArchiveEnd, StreamEnd> {
    let (header, toc) = (parser.header().cloned(), parser.toc().cloned());
    let (proof, index) = parser.finish()?;
    Ok(ArchiveEnd::Proved(Box::new(Proved::new(
        proof, index, header, toc,
    )?)))
}

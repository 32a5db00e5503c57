//! The thread that reads what passes: parses and counts, and lets the outlet encrypt and hash.
//!
//! One thread for both: SHA-256 with the processor's own instructions and the parser together are several times
//! faster than pg_dump writes, and a second thread would take a processor from pg_dump and the server.

use std::sync::Arc;

use pgdump_archive::{ArchiveError, IndexError, IndexingParser};
use tokio::sync::mpsc;

use super::Message;
use super::end::{ArchiveEnd, Proved, Streamed, Unread};
use super::meter::Meter;
use super::outlet::Outlet;
use crate::fault::Fault;

/// What every archive begins with, whatever its version.
const MAGIC: &[u8] = b"PGDMP";

pub(super) struct Inspector {
    reading: Reading,
    meter: Arc<Meter>,
}

enum Reading {
    Parser(Box<IndexingParser>),
    Unread { reason: String, first: Vec<u8> },
}

/// Why a stream has no end.
pub(super) enum Stop {
    /// It is no whole archive.
    Fault(Fault),
    /// It may be one, of a kind that this build cannot read.
    Unreadable(String),
    /// Nobody sends, or nobody takes, any more: who stopped knows why.
    Abandoned,
}

impl Inspector {
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
        mut outlet: Outlet<'_>,
    ) -> Result<Streamed, Stop> {
        loop {
            match incoming.blocking_recv().ok_or(Stop::Abandoned)? {
                Message::Bytes(bytes) => {
                    self.inspect(&bytes)?;
                    outlet.send(bytes)?;
                }
                Message::End => return outlet.end(self.end()?, None),
            }
        }
    }

    fn inspect(&mut self, bytes: &[u8]) -> Result<(), Stop> {
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

    fn end(self) -> Result<ArchiveEnd, Stop> {
        match self.reading {
            Reading::Parser(parser) => prove(*parser),
            Reading::Unread { first, .. } if first != MAGIC => {
                Err(ArchiveError::NotAnArchive.into())
            }
            Reading::Unread { reason, .. } => Ok(ArchiveEnd::Unread(Unread { reason })),
        }
    }
}

fn prove(parser: IndexingParser) -> Result<ArchiveEnd, Stop> {
    let (header, toc) = (parser.header().cloned(), parser.toc().cloned());
    let (proof, index) = parser.finish()?;
    Ok(ArchiveEnd::Proved(Box::new(Proved::new(
        proof, index, header, toc,
    )?)))
}

impl From<IndexError> for Stop {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Archive(error) => error.into(),
            error @ IndexError::Copy { .. } => Self::Fault(damaged().caused_by(error)),
            error => Self::Fault(corrupt().caused_by(error)),
        }
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        if error.is_unread() {
            return Self::Unreadable(error.to_string());
        }
        let fault = match error {
            ArchiveError::Truncated { .. } | ArchiveError::MissingData { .. } => {
                Fault::transient("archive_incomplete", "pg_dump's archive is not whole")
            }
            ArchiveError::DuplicateEntry { .. }
            | ArchiveError::DuplicateTableData { .. }
            | ArchiveError::DuplicateData { .. } => ambiguous(),
            _ => corrupt(),
        };
        Self::Fault(fault.caused_by(error))
    }
}

/// pg_dump did so with exit status 0, and does it again with the same catalog.
fn ambiguous() -> Fault {
    Fault::permanent(
        "archive_ambiguous",
        "pg_restore would not restore what pg_dump wrote: it takes one part of the archive for another",
    )
    .hint(
        "Try another minor version of pg_dump, or pg_dump --format=plain by hand, and report it to PostgreSQL's developers.",
    )
}

pub(super) fn damaged() -> Fault {
    Fault::transient("archive_corrupt", "what pg_dump wrote would not restore").hint(
        "See whether the pg_dump in use is PostgreSQL's own, and whether something between it and pgdumpd changes its output.",
    )
}

pub(super) fn corrupt() -> Fault {
    Fault::transient("archive_corrupt", "what pg_dump wrote is no archive").hint(
        "See whether the pg_dump in use is PostgreSQL's own, and whether something prints to its stdout.",
    )
}

//! The thread that reads what passes: parses, counts, hashes.
//!
//! One thread for both: SHA-256 with the processor's own instructions and the parser together are several times
//! faster than pg_dump writes, and a second thread would take a processor from pg_dump and the server.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use pgdump_archive::{ArchiveError, Parser};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::end::{ArchiveEnd, Proved, Streamed, Unread};
use super::meter::Meter;
use super::{Message, Mode};
use crate::fault::Fault;

/// What every archive begins with, whatever its version.
const MAGIC: &[u8] = b"PGDMP";

pub(super) struct Inspector {
    reading: Reading,
    hash: Sha256,
    size: u64,
    meter: Arc<Meter>,
}

enum Reading {
    Parser(Box<Parser>),
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
    pub(super) fn new(mode: Mode, meter: Arc<Meter>) -> Self {
        let reading = match mode {
            Mode::Read => Reading::Parser(Box::default()),
            Mode::Unread { reason } => Reading::Unread {
                reason,
                first: Vec::with_capacity(MAGIC.len()),
            },
        };
        Self {
            reading,
            hash: Sha256::new(),
            size: 0,
            meter,
        }
    }

    /// Blocks until the stream ends.
    pub(super) fn run(
        mut self,
        mut incoming: mpsc::Receiver<Message>,
        outgoing: &mpsc::Sender<Bytes>,
    ) -> Result<Streamed, Stop> {
        loop {
            match incoming.blocking_recv().ok_or(Stop::Abandoned)? {
                Message::Bytes(bytes) => {
                    self.inspect(&bytes)?;
                    outgoing.blocking_send(bytes).map_err(|_| Stop::Abandoned)?;
                }
                Message::End => return self.end(),
            }
        }
    }

    fn inspect(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        match &mut self.reading {
            Reading::Parser(parser) => parser.push(bytes, &mut |event| self.meter.saw(event))?,
            Reading::Unread { first, .. } => {
                let wanted = MAGIC.len() - first.len();
                first.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
            }
        }
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn end(self) -> Result<Streamed, Stop> {
        let end = match self.reading {
            Reading::Parser(parser) => prove(*parser)?,
            Reading::Unread { first, .. } if first != MAGIC => {
                return Err(ArchiveError::NotAnArchive.into());
            }
            Reading::Unread { reason, .. } => ArchiveEnd::Unread(Unread { reason }),
        };
        let mut sha256 = String::with_capacity(64);
        for byte in self.hash.finalize() {
            write!(sha256, "{byte:02x}").expect("writing to a String cannot fail");
        }
        Ok(Streamed {
            end,
            size: self.size,
            sha256,
        })
    }
}

fn prove(parser: Parser) -> Result<ArchiveEnd, Stop> {
    let (header, toc) = (parser.header().cloned(), parser.toc().cloned());
    let proof = parser.finish()?;
    match (header, toc) {
        (Some(header), Some(toc)) => Ok(ArchiveEnd::Proved(Proved { proof, header, toc })),
        _ => Err(Stop::Fault(Fault::permanent(
            "internal",
            "the parser proved an archive without a table of contents",
        ))),
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
            _ => Fault::transient("archive_corrupt", "what pg_dump wrote is no archive").hint(
                "See whether the pg_dump in use is PostgreSQL's own, and whether something prints to its stdout.",
            ),
        };
        Self::Fault(fault.caused_by(error))
    }
}

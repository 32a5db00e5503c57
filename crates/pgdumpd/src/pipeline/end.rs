//! What a stream turned out to be. Only the reader, at the stream's end, makes these: a job that holds one
//! cannot hold it for a stream that was cut.

use std::sync::Arc;

use pgdump_archive::{Header, Index, Proof, Toc};

use super::error::StreamEnd;
use crate::code::Code;
use crate::fault::Fault;

/// A stream that went through whole.
#[derive(Debug)]
pub struct Streamed {
    pub(super) end: ArchiveEnd,
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) dump_bytes: u64,
    pub(super) archive_bytes: u64,
}

impl Streamed {
    /// What the parser said at the end.
    pub fn end(&self) -> &ArchiveEnd {
        &self.end
    }

    /// Bytes that came from the source.
    pub fn dump_bytes(&self) -> u64 {
        self.dump_bytes
    }

    /// Bytes of the archive before it was encrypted; what went to the sink, if it was not.
    pub fn archive_bytes(&self) -> u64 {
        self.archive_bytes
    }

    /// What the archive holds and where, before it was encrypted; none of one that was not read.
    pub fn index(&self) -> Option<&Arc<Index>> {
        match &self.end {
            ArchiveEnd::Proved(proved) => Some(&proved.index),
            ArchiveEnd::Unread(_) => None,
        }
    }

    /// Bytes that went to the sink.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of those bytes, 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The end of an archive.
#[derive(Debug)]
pub enum ArchiveEnd {
    /// It is whole: every entry that owes data delivered it.
    Proved(Box<Proved>),
    /// It was passed on unread; nothing but its first bytes and its end were seen.
    Unread(Unread),
}

/// A whole archive.
#[derive(Debug)]
pub struct Proved {
    proof: Proof,
    index: Arc<Index>,
    header: Header,
    toc: Arc<Toc>,
}

impl Proved {
    pub(super) fn new(
        proof: Proof,
        index: Index,
        header: Option<Header>,
        toc: Option<Arc<Toc>>,
    ) -> Result<Self, StreamEnd> {
        let (Some(header), Some(toc)) = (header, toc) else {
            let what = "the parser proved an archive without a table of contents";
            return Err(StreamEnd::internal(Fault::permanent(Code::Internal, what)));
        };
        Ok(Self {
            proof,
            index: Arc::new(index),
            header,
            toc,
        })
    }

    /// Where each table's data is, with its rows and checksums.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// What was counted.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The header of the archive that went to the sink.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether nothing inside the database is in it: only what pg_dump records of its session, and of the database
    /// itself even where filters leave all else out.
    pub fn is_empty(&self) -> bool {
        let kinds = [
            "ENCODING",
            "STDSTRINGS",
            "SEARCHPATH",
            "DATABASE",
            "DATABASE PROPERTIES",
        ];
        self.toc.entries().iter().all(|entry| {
            // Its comment, its grants.
            let of_database = entry.tag.as_bytes().starts_with(b"DATABASE ");
            of_database || kinds.iter().any(|kind| entry.description == *kind)
        })
    }

    /// The table of contents.
    pub fn toc(&self) -> &Arc<Toc> {
        &self.toc
    }
}

/// An archive that was not read.
#[derive(Debug)]
pub struct Unread {
    pub(super) reason: String,
}

impl Unread {
    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

//! What a stream turned out to be. Only the inspector, at the stream's end, makes these: a job that holds one
//! cannot hold it for a stream that was cut.

use std::sync::Arc;

use pgdump_archive::{Header, Proof, Toc};

/// A stream that went through whole.
#[derive(Debug)]
pub struct Streamed {
    pub(super) end: ArchiveEnd,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Streamed {
    /// What the parser said at the end.
    pub fn end(&self) -> &ArchiveEnd {
        &self.end
    }

    /// Bytes that went to the sink.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of those bytes, 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Gives the end away, to whom publishing asks for it.
    pub fn into_end(self) -> ArchiveEnd {
        self.end
    }
}

/// The end of an archive.
#[derive(Debug)]
pub enum ArchiveEnd {
    /// It is whole: every entry that owes data delivered it.
    Proved(Proved),
    /// It was passed on unread; nothing but its first bytes and its end were seen.
    Unread(Unread),
}

/// A whole archive.
#[derive(Debug)]
pub struct Proved {
    pub(super) proof: Proof,
    pub(super) header: Header,
    pub(super) toc: Arc<Toc>,
}

impl Proved {
    /// What was counted.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The archive's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether nothing inside the database is in it: only what pg_dump notes of its session, and of the database
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

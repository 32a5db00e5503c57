//! Why an archive was refused.

use std::fmt;

use crate::{ArchiveVersion, DumpId};

/// Why an archive was refused. After an error the parser reads no further: it returns the same
/// error again. Offsets count bytes from the archive's start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The input does not begin with `PGDMP`: plain SQL, a tar archive, or something else.
    #[error("not a pg_dump archive: it does not begin with \"PGDMP\"")]
    NotAnArchive,

    /// A format version that this crate does not know; found from the version bytes alone, before
    /// anything else was read.
    #[error(
        "archive version {found} is not supported (supported are {} to {}.{})",
        ArchiveVersion::OLDEST,
        ArchiveVersion::NEWEST.major,
        ArchiveVersion::NEWEST.minor
    )]
    UnsupportedVersion {
        /// The version found.
        found: ArchiveVersion,
    },

    /// An archive, but not in the custom format: the table of contents of a directory or tar
    /// archive begins in the same way.
    #[error("the archive is not in pg_dump's custom format (format byte {found}, expected 1)")]
    UnsupportedFormat {
        /// The format byte found.
        found: u8,
    },

    /// The input ended inside the header, the table of contents or a block.
    #[error("the archive ends at byte {offset}, in the middle of {awaited}")]
    Truncated {
        /// The size of what there was.
        offset: u64,
        /// What was incomplete.
        awaited: Awaited,
    },

    /// The input ended after a block, but entries that owe data did not deliver it.
    #[error(
        "the archive ends without the data of {name} (dump id {dump_id}); \
         entries without their data: {missing}"
    )]
    MissingData {
        /// The first entry, in the order of the table of contents, whose data is missing.
        dump_id: DumpId,
        /// That entry's name.
        name: String,
        /// How many entries lack their data.
        missing: usize,
    },

    /// A second data block for one entry.
    #[error("a second data block for {name} (dump id {dump_id}) at byte {offset}")]
    DuplicateData {
        /// Where the second block begins.
        offset: u64,
        /// The entry.
        dump_id: DumpId,
        /// The entry's name.
        name: String,
    },

    /// Two entries of the table of contents have one dump id: pg_restore would take one for the other.
    #[error("two entries of the table of contents have the dump id {dump_id}")]
    DuplicateEntry {
        /// Where the table of contents ends.
        offset: u64,
        /// The dump id.
        dump_id: DumpId,
    },

    /// Two entries of the table of contents are the data of one table: with several jobs, pg_restore loses the rows
    /// of one of them.
    #[error("the table of contents has the data of {name} twice (dump ids {first} and {second})")]
    DuplicateTableData {
        /// Where the table of contents ends.
        offset: u64,
        /// The table.
        name: String,
        /// One entry.
        first: DumpId,
        /// The other one.
        second: DumpId,
    },

    /// Bytes after the last data block.
    #[error("the archive is complete at byte {offset}, but more bytes follow")]
    TrailingBytes {
        /// Where the archive ends.
        offset: u64,
    },

    /// A value that pg_dump does not write.
    #[error("the archive is corrupt at byte {offset}: {what}")]
    Corrupt {
        /// Where the value begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },

    /// More than [`Limits`](crate::Limits) allow: perhaps hostile, perhaps only very large.
    #[error("{bound} is too large at byte {offset}: over {limit} bytes")]
    TooLarge {
        /// Where the value begins that goes over the limit.
        offset: u64,
        /// Which bound was passed.
        bound: Bound,
        /// The limit, in bytes.
        limit: u64,
    },
}

impl ArchiveError {
    /// Whether the archive may be a good one that this crate cannot read: of an unknown version,
    /// or larger than the limits. Such a stream may be stored unread, and said to be unread.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(
            self,
            Self::UnsupportedVersion { .. } | Self::TooLarge { .. }
        )
    }
}

/// What was incomplete when the input ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaited {
    /// The header.
    Header,
    /// The table of contents.
    Toc {
        /// Entries read completely.
        read: usize,
        /// Entries announced; `None` where not even their number was complete.
        announced: Option<usize>,
    },
    /// The type and dump id of a data block.
    BlockHeader,
    /// A data block's content.
    Data {
        /// The entry whose data it is.
        dump_id: DumpId,
        /// The entry's name.
        name: String,
    },
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("its header"),
            Self::Toc {
                read,
                announced: Some(announced),
            } => {
                write!(
                    f,
                    "its table of contents ({read} of {announced} entries read)"
                )
            }
            Self::Toc {
                announced: None, ..
            } => f.write_str("its table of contents"),
            Self::BlockHeader => f.write_str("the start of a data block"),
            Self::Data { dump_id, name } => write!(f, "the data of {name} (dump id {dump_id})"),
        }
    }
}

/// Which of the [`Limits`](crate::Limits) was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// One string.
    String,
    /// The whole table of contents.
    Toc,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "a string",
            Self::Toc => "the table of contents",
        })
    }
}

//! Why a stream has no end.

use pgdump_archive::{ArchiveError, IndexError};

use crate::code::Code;
use crate::fault::Fault;

/// Why an archive did not go through, by the side that failed.
#[derive(Debug)]
pub enum PipelineError {
    /// The source failed.
    Source(Fault),
    /// The source ended before the archive did: it may know why.
    Cut(Fault),
    /// What came is not an archive, or not one that pg_restore would restore.
    NotAnArchive(Fault),
    /// The sink failed.
    Sink(Fault),
    /// Neither side failed.
    Internal(Fault),
}

impl PipelineError {
    /// What failed.
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Source(fault)
            | Self::Cut(fault)
            | Self::NotAnArchive(fault)
            | Self::Sink(fault)
            | Self::Internal(fault) => fault,
        }
    }

    /// What failed, without the side.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Source(fault)
            | Self::Cut(fault)
            | Self::NotAnArchive(fault)
            | Self::Sink(fault)
            | Self::Internal(fault) => fault,
        }
    }
}

/// The result of a pipeline's threads if there is no complete archive.
pub(super) enum StreamEnd {
    /// The whole run fails with this.
    Failed(PipelineError),
    /// It may be an archive, of a kind that this build cannot read.
    Unreadable(String),
    /// The other side has stopped, and knows why.
    Abandoned,
}

impl StreamEnd {
    pub(super) fn internal(fault: Fault) -> Self {
        Self::Failed(PipelineError::Internal(fault))
    }
}

impl From<PipelineError> for StreamEnd {
    fn from(error: PipelineError) -> Self {
        Self::Failed(error)
    }
}

impl From<IndexError> for StreamEnd {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Archive(error) => error.into(),
            error @ IndexError::Copy { .. } => not_an_archive(damaged().caused_by(error)),
            error => not_an_archive(corrupt().caused_by(error)),
        }
    }
}

impl From<ArchiveError> for StreamEnd {
    fn from(error: ArchiveError) -> Self {
        if error.is_unread() {
            return Self::Unreadable(error.to_string());
        }
        match error {
            ArchiveError::Truncated { .. } | ArchiveError::MissingData { .. } => {
                let fault =
                    Fault::transient(Code::ArchiveIncomplete, "pg_dump's archive is not whole");
                PipelineError::Cut(fault.caused_by(error)).into()
            }
            ArchiveError::DuplicateEntry { .. }
            | ArchiveError::DuplicateTableData { .. }
            | ArchiveError::DuplicateData { .. } => not_an_archive(ambiguous().caused_by(error)),
            _ => not_an_archive(corrupt().caused_by(error)),
        }
    }
}

/// The end of a stream that pg_restore would not restore.
pub(super) fn not_an_archive(fault: Fault) -> StreamEnd {
    PipelineError::NotAnArchive(fault).into()
}

/// pg_dump did so with exit status 0, and does it again with the same catalog.
fn ambiguous() -> Fault {
    Fault::permanent(
        Code::ArchiveAmbiguous,
        "pg_restore could not restore pg_dump's output: it would mistake one part of the archive for another",
    )
    .hint(
        "Try another minor version of pg_dump, or pg_dump --format=plain by hand, and report it to PostgreSQL's developers.",
    )
}

pub(super) fn damaged() -> Fault {
    Fault::transient(Code::ArchiveCorrupt, "pg_dump's output could not be restored").hint(
        "Check whether the pg_dump in use is PostgreSQL's own, and whether something between it and pgdumpd changes its output.",
    )
}

pub(super) fn corrupt() -> Fault {
    Fault::transient(Code::ArchiveCorrupt, "pg_dump's output is not a custom-format archive").hint(
        "Check whether the pg_dump in use is PostgreSQL's own, and whether something prints to its stdout.",
    )
}

//! Says in a table of contents where the data is.

use std::collections::HashMap;

use crate::{ArchiveError, Checksum, DumpId, EncodeError, Index, Limits, Parser, encode};

/// Why data offsets cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FillOffsetsError {
    /// The bytes are not those that the index was made of.
    #[error("the header and table of contents are not those of the index")]
    OtherHead,
    /// The bytes are not a header and table of contents.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An offset does not fit the archive.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The head would have another length: not pg_dump has written it, but something that writes it otherwise.
    #[error("the header and table of contents cannot be written again in the same length")]
    OtherLength,
    /// An entry that owes data has no block in the index.
    #[error("the index lacks the data of dump id {dump_id}")]
    Missing {
        /// The entry.
        dump_id: DumpId,
    },
}

/// The head of an archive (its first [`head_bytes`](Index::head_bytes)) with the data offsets of
/// the index: bytes of the same length, which may take the place of the old ones in a file, so
/// that `pg_restore -j` finds each block without a scan.
///
/// # Errors
///
/// If head and index do not belong together.
pub fn fill_offsets(
    head: &[u8],
    index: &Index,
    limits: Limits,
) -> Result<Vec<u8>, FillOffsetsError> {
    if head.len() as u64 != index.head_bytes || Checksum::of(head) != index.head_xxh3_128 {
        return Err(FillOffsetsError::OtherHead);
    }
    let mut parser = Parser::with_limits(limits);
    parser.push(head, &mut |_| {})?;
    let (Some(header), Some(toc)) = (parser.header(), parser.toc()) else {
        return Err(FillOffsetsError::OtherHead);
    };
    let blocks: HashMap<_, _> = index
        .entries
        .iter()
        .map(|entry| (entry.dump_id, entry.offset_bytes))
        .collect();
    if let Some(owner) = toc
        .data_entries()
        .find(|owner| !blocks.contains_key(&owner.dump_id))
    {
        let dump_id = owner.dump_id;
        return Err(FillOffsetsError::Missing { dump_id });
    }
    let filled = encode(
        header,
        &toc.with_offsets(|dump_id| blocks.get(&dump_id).copied()),
    )?;
    if filled.len() != head.len() {
        return Err(FillOffsetsError::OtherLength);
    }
    Ok(filled)
}

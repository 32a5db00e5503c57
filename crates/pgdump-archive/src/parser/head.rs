//! Reads the header.

use super::cursor::{Cursor, Stop};
use crate::{ArchiveError, ArchiveVersion, Compression, Created, Header, Limits, Text};

const MAGIC: &[u8] = b"PGDMP";
/// The number of the custom format in pg_dump's list of formats.
const CUSTOM_FORMAT: u8 = 1;

/// Whether an archive could begin with these bytes.
pub(super) fn may_be_archive(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).all(|(found, magic)| found == magic)
}

/// The magic and the version: all that is read of a version that we do not know.
pub(super) fn version(cursor: &mut Cursor<'_>) -> Result<ArchiveVersion, Stop> {
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err(ArchiveError::NotAnArchive.into());
    }
    let bytes = cursor.take(3)?;
    let found = ArchiveVersion {
        major: bytes[0],
        minor: bytes[1],
        revision: bytes[2],
    };
    if !found.is_supported() {
        return Err(ArchiveError::UnsupportedVersion { found }.into());
    }
    Ok(found)
}

/// What follows the version.
pub(super) fn header(cursor: &mut Cursor<'_>, version: ArchiveVersion) -> Result<Header, Stop> {
    let int_size = cursor.byte()?;
    if int_size != 4 {
        return Err(cursor.corrupt("integers are not of 4 bytes"));
    }
    let off_size = cursor.byte()?;
    if !matches!(off_size, 4 | 8) {
        return Err(cursor.corrupt("file offsets are not of 4 or 8 bytes"));
    }
    let format = cursor.byte()?;
    if format != CUSTOM_FORMAT {
        return Err(ArchiveError::UnsupportedFormat { found: format }.into());
    }
    let (compression, compression_level) = if version.has_compression_algorithm() {
        let algorithm = Compression::from_byte(cursor.byte()?);
        (
            algorithm.ok_or_else(|| cursor.corrupt("an unknown compression algorithm"))?,
            None,
        )
    } else {
        let level = cursor.int()?;
        (Compression::from_level(level), Some(level))
    };
    let created = Created {
        second: cursor.int()?,
        minute: cursor.int()?,
        hour: cursor.int()?,
        day: cursor.int()?,
        month0: cursor.int()?,
        year_since_1900: cursor.int()?,
        is_dst: cursor.int()?,
    };
    let limit = Limits::MAX_HEADER_STRING_BYTES;
    let database = cursor.required(limit)?;
    let server_version = cursor.required(limit)?;
    let dump_version = cursor.required(limit)?;
    Ok(Header {
        version,
        int_size,
        off_size,
        compression,
        compression_level,
        created,
        database: Text::new(database),
        server_version: Text::new(server_version),
        dump_version: Text::new(dump_version),
    })
}

//! What the archive says of itself before its table of contents.

use std::fmt;

use crate::{ArchiveVersion, Text};

/// The head of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the archive format.
    pub version: ArchiveVersion,
    /// The bytes of an integer, its sign byte not counted: 4 wherever PostgreSQL runs.
    pub int_size: u8,
    /// The bytes of a file offset: 8, or 4 from a build without large files.
    pub off_size: u8,
    /// How the data blocks are compressed.
    pub compression: Compression,
    /// The level, which only archives up to 1.14 record; -1 is zlib's own default.
    pub compression_level: Option<i32>,
    /// When the dump started.
    pub created: Created,
    /// The database that was dumped.
    pub database: Text,
    /// The server's version, for example `16.14 (Debian 16.14-1.pgdg12+1)`.
    pub server_version: Text,
    /// pg_dump's version.
    pub dump_version: Text,
}

/// How each table's data and each large object is compressed, each as a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Stored as it is: each row of a table in a chunk of its own.
    None,
    /// A zlib stream (RFC 1950), whatever the option's name says.
    Gzip,
    /// An LZ4 frame.
    Lz4,
    /// One or more zstd frames.
    Zstd,
}

impl Compression {
    /// The algorithm byte of archives from 1.15 on.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Lz4,
            3 => Self::Zstd,
            _ => return None,
        })
    }

    /// The inverse of [`from_byte`](Self::from_byte).
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Lz4 => 2,
            Self::Zstd => 3,
        }
    }

    /// The level of archives up to 1.14, which knew only gzip.
    pub(crate) fn from_level(level: i32) -> Self {
        if level == 0 { Self::None } else { Self::Gzip }
    }
}

/// pg_dump's own name of the algorithm, as in `--compress`.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// A moment on the clock of the host that ran pg_dump, in its time zone, which is not recorded.
///
/// The fields are those of C's `struct tm`, unchecked: a hostile archive may hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Created {
    /// Seconds, 0 to 60.
    pub second: i32,
    /// Minutes, 0 to 59.
    pub minute: i32,
    /// Hours, 0 to 23.
    pub hour: i32,
    /// Day of the month, from 1.
    pub day: i32,
    /// Months since January, 0 to 11.
    pub month0: i32,
    /// Years since 1900.
    pub year_since_1900: i32,
    /// Above 0 in daylight saving time, 0 outside it, below 0 where unknown.
    pub is_dst: i32,
}

/// `2026-01-31 23:59:59`
impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            second,
            minute,
            hour,
            day,
            month0,
            year_since_1900,
            ..
        } = *self;
        let (year, month) = (i64::from(year_since_1900) + 1900, i64::from(month0) + 1);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_times_are_shown_without_overflow() {
        let max = i32::MAX;
        let absurd = Created {
            second: max,
            minute: max,
            hour: max,
            day: max,
            month0: max,
            year_since_1900: max,
            is_dst: max,
        };
        assert!(absurd.to_string().starts_with("2147485547-2147483648-"));
        let real = Created {
            second: 5,
            minute: 4,
            hour: 3,
            day: 2,
            month0: 0,
            year_since_1900: 126,
            is_dst: 0,
        };
        assert_eq!(real.to_string(), "2026-01-02 03:04:05");
    }
}

//! How data is to be compressed.

use std::fmt;
use std::str::FromStr;

use crate::Compression;

/// A compression and its level, where it has one: `none`, `gzip:6`, `lz4`, `zstd:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec {
    compression: Compression,
    /// 0 where there is none.
    level: u8,
}

/// A codec that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression {text:?}")]
pub struct InvalidCodec {
    /// What was asked for.
    pub text: String,
}

impl InvalidCodec {
    /// What there is.
    pub const HINT: &str = "Use none, gzip:1 to gzip:9, lz4, or zstd:1 to zstd:22.";
}

impl Codec {
    /// No compression.
    pub const NONE: Self = Self {
        compression: Compression::None,
        level: 0,
    };

    /// LZ4, which has one level here.
    pub const LZ4: Self = Self {
        compression: Compression::Lz4,
        level: 0,
    };

    /// zlib at a level of 1 to 9, with pg_dump's default 6.
    #[must_use]
    pub fn gzip(level: u8) -> Option<Self> {
        let compression = Compression::Gzip;
        (1..=9)
            .contains(&level)
            .then_some(Self { compression, level })
    }

    /// zstd at a level of 1 to 22, with pg_dump's default 3.
    #[must_use]
    pub fn zstd(level: u8) -> Option<Self> {
        let compression = Compression::Zstd;
        (1..=22)
            .contains(&level)
            .then_some(Self { compression, level })
    }

    /// The compression.
    #[must_use]
    pub fn compression(self) -> Compression {
        self.compression
    }

    /// The level; `None` where there is only one.
    #[must_use]
    pub fn level(self) -> Option<u8> {
        (self.level != 0).then_some(self.level)
    }

    /// How much raw data goes into one piece, in bytes: enough that compressing each by itself
    /// costs little in size, and so little that several fit in the processor's caches.
    #[must_use]
    pub fn piece_bytes(self) -> usize {
        match (self.compression, self.level) {
            // zstd's window grows with its level; so must what it can look back on.
            (Compression::Zstd, 3..=8) => 2 << 20,
            (Compression::Zstd, 9..) => 4 << 20,
            _ => 1 << 20,
        }
    }

    /// The memory that compressing one piece takes at most beside the piece and its packed form, in bytes: what the
    /// codec itself keeps from piece to piece.
    #[must_use]
    pub fn memory_bytes(self) -> usize {
        match (self.compression, self.level) {
            (Compression::None, _) => 0,
            (Compression::Gzip, _) => 1 << 20,
            (Compression::Lz4, _) => 2 << 20,
            (Compression::Zstd, 0..=2) => 1 << 20,
            (Compression::Zstd, 3..=8) => 8 << 20,
            (Compression::Zstd, 9..=11) => 32 << 20,
            (Compression::Zstd, 12..) => 68 << 20,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level() {
            Some(level) => write!(f, "{}:{level}", self.compression),
            None => write!(f, "{}", self.compression),
        }
    }
}

/// The name, and after a colon the level; without it pg_dump's default level.
impl FromStr for Codec {
    type Err = InvalidCodec;

    fn from_str(text: &str) -> Result<Self, InvalidCodec> {
        let (name, level) = text
            .split_once(':')
            .map_or((text, None), |(name, level)| (name, Some(level)));
        let level = |default| match level {
            None => Some(default),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
        };
        let codec = match (name, text) {
            (_, "none") => Some(Self::NONE),
            (_, "lz4") => Some(Self::LZ4),
            ("gzip", _) => level(6).and_then(Self::gzip),
            ("zstd", _) => level(3).and_then(Self::zstd),
            _ => None,
        };
        codec.ok_or_else(|| InvalidCodec { text: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_written_as_pg_dump_takes_them() {
        for text in ["none", "lz4", "gzip:1", "gzip:9", "zstd:1", "zstd:22"] {
            assert_eq!(text.parse::<Codec>().unwrap().to_string(), text);
        }
        assert_eq!("gzip".parse(), Ok(Codec::gzip(6).unwrap()));
        assert_eq!("zstd".parse(), Ok(Codec::zstd(3).unwrap()));
        for bad in [
            "", "None", "none:0", "lz4:1", "gzip:0", "gzip:10", "zstd:", "zstd:0", "zstd:23",
            "zstd:-1", "zstd:+1", "zstd:256", "brotli",
        ] {
            assert!(bad.parse::<Codec>().is_err(), "{bad}");
        }
    }
}

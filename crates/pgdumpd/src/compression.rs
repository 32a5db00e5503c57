//! How an archive's data is compressed, as configuration and manifest write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `auto`, `none`, `gzip:1` to `gzip:9`, or `zstd:1` to `zstd:22`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// zstd:1 where server and pg_dump are 16 or newer and this pg_dump was built with it, else gzip:6.
    Auto,
    /// None at all.
    None,
    /// gzip (zlib) at this level.
    Gzip(u8),
    /// zstd at this level; needs pg_dump 16 or newer, and pg_restore 16 or newer to restore.
    Zstd(u8),
}

/// A text that names no compression.
#[derive(Debug, thiserror::Error)]
#[error("unknown compression \"{0}\": write auto, none, gzip:1 to gzip:9, or zstd:1 to zstd:22")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownCompression(text.to_owned());
        let (codec, level) = match text.split_once(':') {
            Some((codec, level)) => (codec, Some(level.parse::<u8>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (codec, level) {
            ("auto", None) => Ok(Self::Auto),
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::Gzip(6)),
            ("gzip", Some(level @ 1..=9)) => Ok(Self::Gzip(level)),
            ("zstd", None) => Ok(Self::Zstd(1)),
            ("zstd", Some(level @ 1..=22)) => Ok(Self::Zstd(level)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

impl TryFrom<String> for Compression {
    type Error = UnknownCompression;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["auto", "none", "gzip:1", "gzip:9", "zstd:1", "zstd:22"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for text in [
            "", "zip", "gzip:0", "gzip:10", "zstd:23", "zstd:x", "none:1", "auto:3",
        ] {
            let error = text.parse::<Compression>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
        }
    }
}

//! Who compresses a dump's data.

use serde::{Deserialize, Serialize};

use crate::compression::Compression;

/// The word of configuration and manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compressor {
    /// pg_dump itself, on one processor; the data is decompressed again for counting.
    #[default]
    PgDump,
    /// pgdumpd, on all processors: pg_dump writes the data as it is.
    Pgdumpd,
}

impl Compressor {
    /// The one of this name, as configuration writes it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "pg_dump" => Some(Self::PgDump),
            "pgdumpd" => Some(Self::Pgdumpd),
            _ => None,
        }
    }

    /// The one that is faster, by docs/BENCHMARKS.md.
    pub fn faster_for(compression: Compression) -> Self {
        match compression {
            // Nothing to compress, so nothing to decompress for counting either.
            Compression::None => Self::PgDump,
            Compression::Auto | Compression::Gzip(_) | Compression::Zstd(_) => Self::Pgdumpd,
        }
    }
}

//! Stored bytes of one stream in, raw bytes out.

use std::borrow::Cow;

use crate::Compression;
use gzip::GzipDecoder;
use lz4::Lz4Decoder;
use zstd::ZstdDecoder;

mod gzip;
mod lz4;
mod zstd;

/// Raw bytes are given out in pieces of at most this size.
const OUT_BYTES: usize = 128 << 10;

/// Why stored bytes are not what their compression says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not a stream of this compression, or its own checksum does not fit.
    #[error("the {compression} data is damaged: {what}")]
    Corrupt {
        /// The compression.
        compression: Compression,
        /// What is wrong.
        what: Cow<'static, str>,
    },
    /// The stream ended too early.
    #[error("the {compression} data ends too early")]
    Incomplete {
        /// The compression.
        compression: Compression,
    },
    /// Bytes follow the stream's end.
    #[error("the {compression} data is complete, but more bytes follow")]
    TrailingBytes {
        /// The compression.
        compression: Compression,
    },
}

/// Decompresses one stream after another: the data of a table, or one large object.
///
/// Takes what pg_restore takes: one zlib stream for gzip, any number of frames (at least one) for
/// lz4 and zstd, whose checksums are verified where they have one.
///
/// Memory is bounded, whatever comes: for zstd by a window of at most
/// [`MAX_ZSTD_WINDOW_BYTES`](Self::MAX_ZSTD_WINDOW_BYTES) (a frame that needs more is refused), for
/// lz4 by two blocks of at most 4 MiB, for gzip by 32 KiB; each with 128 KiB for what comes out.
pub struct Decoder(Kind);

enum Kind {
    None,
    Gzip(Box<GzipDecoder>),
    Lz4(Box<Lz4Decoder>),
    Zstd(Box<ZstdDecoder>),
}

impl Decoder {
    /// The largest window of a zstd frame: 128 MiB, as in pg_restore. No level of pg_dump needs
    /// more, with or without its `long` option.
    pub const MAX_ZSTD_WINDOW_BYTES: u64 = 1 << zstd::MAX_WINDOW_LOG;

    /// A decoder at the start of a stream.
    ///
    /// # Errors
    ///
    /// If the zstd library refuses the limit on its window.
    pub fn new(compression: Compression) -> Result<Self, DecodeError> {
        Ok(Self(match compression {
            Compression::None => Kind::None,
            Compression::Gzip => Kind::Gzip(Box::default()),
            Compression::Lz4 => Kind::Lz4(Box::default()),
            Compression::Zstd => Kind::Zstd(Box::new(ZstdDecoder::new()?)),
        }))
    }

    /// Decompresses the next stored bytes, and calls `sink` for each piece of raw bytes; a piece is
    /// never empty.
    ///
    /// # Errors
    ///
    /// If the bytes are damaged. What came out before was given to `sink`; nothing more should be
    /// pushed before [`finish`](Self::finish).
    pub fn push(&mut self, stored: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), DecodeError> {
        if stored.is_empty() {
            return Ok(());
        }
        match &mut self.0 {
            Kind::None => {
                sink(stored);
                Ok(())
            }
            Kind::Gzip(decoder) => decoder.push(stored, sink),
            Kind::Lz4(decoder) => decoder.push(stored, sink),
            Kind::Zstd(decoder) => decoder.push(stored, sink),
        }
    }

    /// The end of the stream. The decoder is at the start of the next one, even after an error.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Incomplete`] unless the stream ended as its compression says. A stream
    /// without compression has no mark of its end, and may end anywhere.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        match &mut self.0 {
            Kind::None => Ok(()),
            Kind::Gzip(decoder) => decoder.finish(),
            Kind::Lz4(decoder) => decoder.finish(),
            Kind::Zstd(decoder) => decoder.finish(),
        }
    }
}

//! Compresses fragments of streams, each by itself.

use std::io::Cursor;

use flate2::{Compress, FlushCompress, Status};
use lz4_flex::block::{compress_into, get_maximum_output_size};
use simd_adler32::Adler32;
use twox_hash::XxHash32;
use zstd::bulk::Compressor;
use zstd::stream::raw::CParameter;

use super::pack::PackError;
use crate::lz4;
use crate::{Codec, Compression};

/// The two bytes that begin a zlib stream: deflate with a window of 32 KiB, level not said.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];
/// The place of the checksum that ends a zlib stream.
const ADLER_PLACE: [u8; 4] = [0; 4];

/// zlib-rs finds about what zlib finds at the same level, but for level 1, where it hurries and
/// makes a third more: there its level 2 is still faster than zlib's 1, and smaller.
const LEAST_DEFLATE_LEVEL: u32 = 2;

pub(super) enum FragmentCodec {
    None,
    Gzip(Box<Compress>),
    Lz4(Vec<u8>),
    Zstd(Box<Compressor<'static>>),
}

impl FragmentCodec {
    pub(super) fn new(codec: Codec) -> Result<Self, PackError> {
        let level = codec.level().unwrap_or(0);
        Ok(match codec.compression() {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip(Box::new(Compress::new(
                flate2::Compression::new(u32::from(level).max(LEAST_DEFLATE_LEVEL)),
                false,
            ))),
            Compression::Lz4 => Self::Lz4(Vec::new()),
            Compression::Zstd => {
                let failed = |error| zstd_error(&error);
                let mut compressor = Compressor::new(level.into()).map_err(failed)?;
                for parameter in [
                    CParameter::ChecksumFlag(true),
                    CParameter::ContentSizeFlag(true),
                ] {
                    compressor.set_parameter(parameter).map_err(failed)?;
                }
                Self::Zstd(Box::new(compressor))
            }
        })
    }

    /// Appends the stored form of a fragment to `out`; for gzip gives its Adler-32. A stream has at
    /// least one fragment, and only its only one may be empty.
    pub(super) fn pack(
        &mut self,
        raw: &[u8],
        first: bool,
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<u32>, PackError> {
        match self {
            Self::None => out.extend_from_slice(raw),
            Self::Gzip(compress) => {
                if first {
                    out.extend(ZLIB_HEADER);
                }
                deflate(compress, raw, last, out)?;
                if last {
                    out.extend(ADLER_PLACE);
                }
                let mut adler = Adler32::new();
                adler.write(raw);
                return Ok(Some(adler.finish()));
            }
            Self::Lz4(scratch) => lz4_frame(raw, scratch, out)?,
            Self::Zstd(compressor) => {
                let start = out.len();
                out.reserve(zstd::zstd_safe::compress_bound(raw.len()));
                let mut end = Cursor::new(out);
                end.set_position(start as u64);
                compressor
                    .compress_to_buffer(raw, &mut end)
                    .map_err(|error| zstd_error(&error))?;
            }
        }
        Ok(None)
    }
}

/// Raw deflate, which ends at a byte where another fragment can follow, or for good.
fn deflate(
    compress: &mut Compress,
    mut raw: &[u8],
    last: bool,
    out: &mut Vec<u8>,
) -> Result<(), PackError> {
    compress.reset();
    let flush = if last {
        FlushCompress::Finish
    } else {
        FlushCompress::Full
    };
    // Room for data that does not compress: five bytes for each 16 KiB, and the ends.
    out.reserve(raw.len() + raw.len() / 1024 + 64);
    loop {
        let before = compress.total_in();
        let status = compress
            .compress_vec(raw, out, flush)
            .map_err(|error| gzip_error(&error.to_string()))?;
        let used = usize::try_from(compress.total_in().saturating_sub(before)).unwrap_or(0);
        raw = &raw[used.min(raw.len())..];
        // There is more to come where there was no room for it.
        let flushed = raw.is_empty() && out.len() < out.capacity();
        match status {
            Status::StreamEnd => return Ok(()),
            _ if !last && flushed => return Ok(()),
            _ => out.reserve(64 << 10),
        }
    }
}

/// A frame with independent blocks of at most 1 MiB and a checksum of its content.
fn lz4_frame(raw: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), PackError> {
    const BLOCK_BYTES: usize = 1 << 20;
    let flags = lz4::VERSION | lz4::INDEPENDENT_BLOCKS | lz4::CONTENT_CHECKSUM;
    let descriptor = [flags, lz4::BLOCKS_OF_1_MIB];
    out.extend(lz4::MAGIC);
    out.extend(descriptor);
    out.push(lz4::header_checksum(&descriptor));
    for block in raw.chunks(BLOCK_BYTES) {
        scratch.resize(get_maximum_output_size(BLOCK_BYTES), 0);
        let made = compress_into(block, scratch).map_err(|error| PackError {
            compression: Compression::Lz4,
            what: error.to_string(),
        })?;
        let (stored, flag) = if made < block.len() {
            (&scratch[..made], 0)
        } else {
            (block, lz4::STORED_BLOCK)
        };
        // At most 1 MiB.
        let size = u32::try_from(stored.len()).unwrap_or(0) | flag;
        out.extend(size.to_le_bytes());
        out.extend_from_slice(stored);
    }
    out.extend(lz4::END_MARK.to_le_bytes());
    out.extend(XxHash32::oneshot(0, raw).to_le_bytes());
    Ok(())
}

fn zstd_error(error: &std::io::Error) -> PackError {
    PackError {
        compression: Compression::Zstd,
        what: error.to_string(),
    }
}

fn gzip_error(what: &str) -> PackError {
    PackError {
        compression: Compression::Gzip,
        what: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zstd_takes_no_more_memory_than_is_said() {
        for level in 1..=22 {
            let codec = Codec::zstd(level).unwrap();
            // It depends on the size alone.
            let raw = vec![0; codec.piece_bytes()];
            let FragmentCodec::Zstd(mut compressor) = FragmentCodec::new(codec).unwrap() else {
                panic!("{codec} is zstd");
            };
            compressor.compress(&raw).unwrap();
            let taken = compressor.context_mut().sizeof();
            let said = codec.memory_bytes();
            assert!(
                taken <= said,
                "{codec} takes {taken} bytes, {said} are said"
            );
            assert!(
                taken * 12 > said,
                "{codec} takes {taken} bytes alone, {said} are said"
            );
        }
    }
}

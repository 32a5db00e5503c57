//! LZ4 frames. The crate that knows LZ4's blocks reads frames only by pulling, so the walk over a
//! frame is here.

use std::hash::Hasher as _;
use std::mem;

use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use twox_hash::XxHash32;

use super::DecodeError;
use crate::Compression;
use crate::lz4::{self, DICTIONARY_ID, END_MARK, MAGIC, STORED_BLOCK};

/// How far back a block may refer to the blocks before it.
const WINDOW_BYTES: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Lz4Decoder {
    /// The start of a unit whose end has not arrived.
    partial: Vec<u8>,
    at: At,
    frame: Frame,
    /// Whether what was pushed ends with a frame.
    complete: bool,
    /// The last bytes that came out, where blocks are linked.
    window: Vec<u8>,
    out: Vec<u8>,
}

/// What comes next.
#[derive(Default, Clone, Copy)]
enum At {
    /// The magic number and the two bytes that say how long the header is.
    #[default]
    Start,
    /// The rest of the header, of this many bytes.
    Header(usize),
    BlockSize,
    /// A block of this many bytes, which may be stored as it is.
    Block {
        bytes: usize,
        stored: bool,
    },
    ContentChecksum,
}

#[derive(Default)]
struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    max_block_bytes: usize,
    made_bytes: u64,
    hasher: XxHash32,
}

impl Lz4Decoder {
    pub(super) fn push(
        &mut self,
        mut stored: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        while !stored.is_empty() {
            self.complete = false;
            let wanted = self.wanted();
            if self.partial.is_empty() && stored.len() >= wanted {
                let (unit, rest) = stored.split_at(wanted);
                stored = rest;
                self.unit(unit, sink)?;
                continue;
            }
            // `partial` never holds a whole unit.
            let missing = wanted.saturating_sub(self.partial.len());
            let (more, rest) = stored.split_at(missing.min(stored.len()));
            self.partial.extend_from_slice(more);
            stored = rest;
            if self.partial.len() == wanted {
                let mut unit = mem::take(&mut self.partial);
                let result = self.unit(&unit, sink);
                unit.clear();
                self.partial = unit;
                result?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        let complete = mem::take(&mut self.complete);
        self.partial.clear();
        self.at = At::Start;
        if complete {
            Ok(())
        } else {
            let compression = Compression::Lz4;
            Err(DecodeError::Incomplete { compression })
        }
    }

    /// How many bytes the next unit has; never 0.
    fn wanted(&self) -> usize {
        match self.at {
            At::Start => 6,
            At::Header(bytes) => bytes,
            At::BlockSize | At::ContentChecksum => 4,
            At::Block { bytes, .. } => bytes + 4 * usize::from(self.frame.block_checksums),
        }
    }

    fn unit(&mut self, unit: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), DecodeError> {
        match self.at {
            At::Start => {
                if unit[..4] != MAGIC {
                    return Err(corrupt("it does not begin as a frame"));
                }
                self.frame = Frame::from_descriptor(unit[4], unit[5])?;
                self.window.clear();
                self.at = At::Header(
                    1 + if self.frame.content_bytes.is_some() {
                        8
                    } else {
                        0
                    },
                );
                self.out.clear();
                self.out.extend_from_slice(&unit[4..]);
            }
            At::Header(bytes) => {
                // `out` holds the two bytes before these; nothing has come out yet.
                self.out.extend_from_slice(&unit[..bytes - 1]);
                if unit[bytes - 1] != lz4::header_checksum(&self.out) {
                    return Err(corrupt("its header does not fit its checksum"));
                }
                if let Ok(size) = <[u8; 8]>::try_from(&unit[..bytes - 1]) {
                    self.frame.content_bytes = Some(u64::from_le_bytes(size));
                }
                self.at = At::BlockSize;
            }
            At::BlockSize => self.start_block(le32(unit))?,
            At::Block { bytes, stored } => {
                self.block(unit, bytes, stored, sink)?;
                self.at = At::BlockSize;
            }
            At::ContentChecksum => {
                if le32(unit) != self.frame.hasher.finish_32() {
                    return Err(corrupt("its content does not fit its checksum"));
                }
                self.end_frame()?;
            }
        }
        Ok(())
    }

    fn start_block(&mut self, size: u32) -> Result<(), DecodeError> {
        if size == END_MARK {
            if self.frame.content_checksum {
                self.at = At::ContentChecksum;
                return Ok(());
            }
            return self.end_frame();
        }
        let bytes = usize::try_from(size & !STORED_BLOCK).unwrap_or(usize::MAX);
        if bytes == 0 || bytes > self.frame.max_block_bytes {
            return Err(corrupt("a block is larger than the frame allows"));
        }
        let stored = size & STORED_BLOCK != 0;
        self.at = At::Block { bytes, stored };
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), DecodeError> {
        let promised = self.frame.content_bytes;
        if promised.is_some_and(|bytes| bytes != self.frame.made_bytes) {
            return Err(corrupt("its content is not as long as its header says"));
        }
        self.complete = true;
        self.at = At::Start;
        Ok(())
    }

    fn block(
        &mut self,
        unit: &[u8],
        bytes: usize,
        stored: bool,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        let (block, checksum) = unit.split_at(bytes);
        if !checksum.is_empty() && le32(checksum) != XxHash32::oneshot(0, block) {
            return Err(corrupt("a block does not fit its checksum"));
        }
        let raw = if stored {
            block
        } else {
            self.out.resize(self.frame.max_block_bytes, 0);
            let made = if self.frame.linked {
                decompress_into_with_dict(block, &mut self.out, &self.window)
            } else {
                decompress_into(block, &mut self.out)
            };
            let made = made.map_err(|error| DecodeError::Corrupt {
                compression: Compression::Lz4,
                what: error.to_string().into(),
            })?;
            &self.out[..made]
        };
        self.frame.made_bytes += raw.len() as u64;
        if self.frame.content_checksum {
            self.frame.hasher.write(raw);
        }
        if self.frame.linked {
            let kept = WINDOW_BYTES.saturating_sub(raw.len());
            let dropped = self.window.len().saturating_sub(kept);
            self.window.drain(..dropped);
            self.window
                .extend_from_slice(&raw[raw.len().saturating_sub(WINDOW_BYTES)..]);
        }
        if !raw.is_empty() {
            sink(raw);
        }
        Ok(())
    }
}

impl Frame {
    fn from_descriptor(flags: u8, block: u8) -> Result<Self, DecodeError> {
        let versioned = flags & lz4::VERSION_MASK == lz4::VERSION;
        let reserved = flags & lz4::RESERVED_FLAG != 0 || block & !lz4::BLOCK_SIZE_MASK != 0;
        if !versioned || reserved {
            return Err(corrupt("a frame's header is of no known version"));
        }
        if flags & DICTIONARY_ID != 0 {
            return Err(corrupt("a frame needs a dictionary"));
        }
        Ok(Self {
            linked: flags & lz4::INDEPENDENT_BLOCKS == 0,
            block_checksums: flags & lz4::BLOCK_CHECKSUMS != 0,
            content_checksum: flags & lz4::CONTENT_CHECKSUM != 0,
            // Filled in when it has arrived.
            content_bytes: (flags & lz4::CONTENT_SIZE != 0).then_some(0),
            max_block_bytes: lz4::max_block_bytes(block)
                .ok_or_else(|| corrupt("a frame's blocks have no known size"))?,
            made_bytes: 0,
            hasher: XxHash32::with_seed(0),
        })
    }
}

fn le32(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn corrupt(what: &'static str) -> DecodeError {
    DecodeError::Corrupt {
        compression: Compression::Lz4,
        what: what.into(),
    }
}

//! What an LZ4 frame's header says: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>.

use twox_hash::XxHash32;

pub(crate) const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

// The first byte of the descriptor.
pub(crate) const VERSION_MASK: u8 = 0b1100_0000;
pub(crate) const VERSION: u8 = 0b0100_0000;
pub(crate) const INDEPENDENT_BLOCKS: u8 = 0b10_0000;
pub(crate) const BLOCK_CHECKSUMS: u8 = 0b1_0000;
pub(crate) const CONTENT_SIZE: u8 = 0b1000;
pub(crate) const CONTENT_CHECKSUM: u8 = 0b100;
pub(crate) const RESERVED_FLAG: u8 = 0b10;
pub(crate) const DICTIONARY_ID: u8 = 0b1;

/// The bits of the descriptor's second byte that say how large a block may be.
pub(crate) const BLOCK_SIZE_MASK: u8 = 0b0111_0000;
/// Blocks of at most 1 MiB.
pub(crate) const BLOCKS_OF_1_MIB: u8 = 0b0110_0000;

/// The bit of a block's size that says that it is not compressed.
pub(crate) const STORED_BLOCK: u32 = 1 << 31;
/// The size that ends the blocks.
pub(crate) const END_MARK: u32 = 0;

/// How large a block may be, from the descriptor's second byte.
pub(crate) fn max_block_bytes(block: u8) -> Option<usize> {
    match (block & BLOCK_SIZE_MASK) >> 4 {
        4 => Some(64 << 10),
        5 => Some(256 << 10),
        6 => Some(1 << 20),
        7 => Some(4 << 20),
        _ => None,
    }
}

/// The checksum byte at the header's end, over the descriptor.
pub(crate) fn header_checksum(descriptor: &[u8]) -> u8 {
    XxHash32::oneshot(0, descriptor).to_le_bytes()[1]
}

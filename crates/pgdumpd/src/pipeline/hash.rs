//! The SHA-256 and the size of what goes to the sink.

use sha2::{Digest, Sha256};

use super::end::{ArchiveEnd, Streamed};
use crate::hex::hex;

#[derive(Default)]
pub(super) struct Hash {
    sha256: Sha256,
    size: u64,
}

impl Hash {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The end of a stream of which all bytes were added; so many came from the source, and so many were encrypted.
    pub(super) fn streamed(self, end: ArchiveEnd, dump_bytes: u64, archive_bytes: u64) -> Streamed {
        Streamed {
            end,
            size: self.size,
            dump_bytes,
            archive_bytes,
            sha256: hex(&self.sha256.finalize()),
        }
    }
}

//! A run of an archive before compression.

use std::fmt;
use std::sync::Arc;

use super::pack::{PackError, Packed, Packer};
use crate::tally::Totals;
use crate::{DataKind, DumpId, Toc};

/// A part of an archive that can be compressed by itself, on any thread.
#[derive(Default)]
pub struct Piece {
    /// Its place among the pieces, from 0.
    pub(super) sequence: u64,
    /// The bytes of header and table of contents, and what they say: in the first piece alone.
    pub(super) head: Option<(Vec<u8>, Arc<Toc>)>,
    /// The raw bytes of all fragments.
    pub(super) raw: Vec<u8>,
    pub(super) steps: Vec<Step>,
    /// What the steps count for, in bytes.
    pub(super) weight: usize,
    /// The most that raw bytes and steps may take together.
    pub(super) limit: usize,
}

/// What a piece holds, in order.
pub(super) enum Step {
    BlockStart {
        dump_id: DumpId,
        kind: DataKind,
    },
    ObjectStart {
        oid: u32,
    },
    /// Some bytes of a stream, and whether they are its first and its last.
    Fragment {
        bytes: usize,
        first: bool,
        last: bool,
    },
    BlockEnd {
        kind: DataKind,
        totals: Totals,
    },
}

impl Piece {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            raw: Vec::with_capacity(limit),
            limit,
            ..Self::default()
        }
    }

    /// How many raw bytes still fit.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.raw.len() + self.weight)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.head.is_none()
    }

    /// How much raw data it holds, in bytes.
    #[must_use]
    pub fn raw_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Compresses it: the work that is worth a thread.
    ///
    /// # Errors
    ///
    /// What the codec's library says; none is expected.
    pub fn pack(self, packer: &mut Packer) -> Result<Packed, PackError> {
        packer.pack(self)
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece")
            .field("sequence", &self.sequence)
            .field("raw_bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

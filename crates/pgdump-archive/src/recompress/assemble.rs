//! Puts compressed pieces together.

use std::sync::Arc;

use super::pack::{Mark, Packed};
use crate::checksum::Checksummer;
use crate::copy::{CopyDamage, Signs};
use crate::tally::{Block, Totals};
use crate::{Checksum, DataKind, DumpId, Index, IndexEntry, Proof, SoFar, Toc};

/// Why pieces do not make an archive: an error of the caller, but for [`Copy`](Self::Copy).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// A piece came before its turn, twice, or not at all.
    #[error("piece {found} was pushed where piece {expected} was due")]
    OutOfOrder {
        /// The place of the piece that was pushed.
        found: u64,
        /// The place of the piece that was due.
        expected: u64,
    },
    /// The pieces are not all of the archive that the proof is of.
    #[error("the pieces are not those of the archive that was read")]
    Incomplete,
    /// The data of one entry is not what COPY and pg_dump write: it would not restore.
    #[error("the data of {name} (dump id {dump_id}) is not whole")]
    Copy {
        /// The entry.
        dump_id: DumpId,
        /// The entry's name.
        name: String,
        /// What is wrong with the data.
        source: CopyDamage,
    },
}

/// Takes the [`Packed`] pieces of one archive in order, gives their bytes, and makes the index.
///
/// Memory: that of the index.
#[derive(Default)]
pub struct Assembler {
    next: u64,
    toc: Option<Arc<Toc>>,
    archive_bytes: u64,
    head: Option<(u64, Checksum)>,
    block: Checksummer,
    block_start: u64,
    at: Option<(DumpId, DataKind)>,
    signs: Signs,
    raw_bytes: u64,
    stored_bytes: u64,
    adler: u32,
    entries: Vec<IndexEntry>,
}

impl Assembler {
    /// An assembler at the start of an archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of the next piece, which follow those of the piece before.
    ///
    /// # Errors
    ///
    /// [`AssembleError::OutOfOrder`] if another piece is due; then nothing has changed.
    /// [`AssembleError::Copy`] if a table's data that ends in this piece is damaged; then this archive has no end.
    pub fn push(&mut self, packed: Packed) -> Result<Vec<u8>, AssembleError> {
        let (found, expected) = (packed.sequence, self.next);
        if found != expected {
            return Err(AssembleError::OutOfOrder { found, expected });
        }
        self.next += 1;
        self.toc = packed.toc.or(self.toc.take());
        let mut bytes = packed.bytes;
        let mut hashed = 0;
        for (end, mark) in packed.marks {
            match mark {
                Mark::HeadEnd => {
                    self.head = Some((end as u64, Checksum::of(&bytes[..end])));
                    hashed = end;
                }
                Mark::BlockStart { dump_id, kind } => {
                    self.at = Some((dump_id, kind));
                    self.block_start = self.archive_bytes + hashed as u64;
                    self.signs = Signs::default();
                    (self.raw_bytes, self.stored_bytes) = (0, 0);
                }
                Mark::Fragment {
                    raw_bytes,
                    stored_bytes,
                    signs,
                    adler,
                    first,
                    last,
                } => {
                    self.signs.add(signs);
                    self.raw_bytes += raw_bytes;
                    self.stored_bytes += stored_bytes;
                    if let Some(adler) = adler {
                        self.adler = if first {
                            adler
                        } else {
                            combine(self.adler, adler, raw_bytes)
                        };
                        if last {
                            let place = bytes[..end].last_chunk_mut::<4>();
                            place
                                .into_iter()
                                .for_each(|it| *it = self.adler.to_be_bytes());
                        }
                    }
                }
                Mark::BlockEnd(totals) => {
                    self.block.add(&bytes[hashed..end]);
                    hashed = end;
                    self.end_block(&totals, self.archive_bytes + end as u64)?;
                }
            }
        }
        self.block.add(&bytes[hashed..]);
        self.archive_bytes += bytes.len() as u64;
        Ok(bytes)
    }

    fn end_block(&mut self, totals: &Totals, end: u64) -> Result<(), AssembleError> {
        let block = Block {
            signs: self.signs,
            stored_bytes: self.stored_bytes,
            offset: self.block_start,
            bytes: end - self.block_start,
            checksum: self.block.take(),
        };
        if let Some((dump_id, kind)) = self.at.take()
            && let Some(owner) = self.toc.as_ref().and_then(|toc| toc.get(dump_id))
        {
            let entry = totals.entry(owner, kind, block);
            self.entries
                .push(entry.map_err(|source| AssembleError::Copy {
                    dump_id,
                    name: owner.qualified_name(),
                    source,
                })?);
        }
        Ok(())
    }

    /// The end: `source` is the proof of what was read, from
    /// [`Recompressor::finish`](super::Recompressor::finish). Gives the proof of what was written,
    /// which rests on it: each of its blocks went through the pieces, whole.
    ///
    /// # Errors
    ///
    /// [`AssembleError::Incomplete`] if pieces are missing.
    #[expect(clippy::needless_pass_by_value, reason = "one proof becomes the other")]
    pub fn finish(self, source: Proof) -> Result<(Proof, Index), AssembleError> {
        let raw_bytes: u64 = self.entries.iter().map(|entry| entry.raw_bytes).sum();
        let data_bytes = self.entries.iter().map(|entry| entry.stored_bytes).sum();
        let whole = self.at.is_none()
            && self.entries.len() == source.data_blocks
            && raw_bytes == source.data_bytes;
        let (Some((head_bytes, head_xxh3_128)), true) = (self.head, whole) else {
            return Err(AssembleError::Incomplete);
        };
        let archive_bytes = self.archive_bytes;
        let proof = Proof {
            data_bytes,
            archive_bytes,
            ..source
        };
        let index = Index {
            head_bytes,
            head_xxh3_128,
            entries: self.entries,
        };
        Ok((proof, index))
    }

    /// How many bytes were given out.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.archive_bytes
    }

    /// What has been counted of the current block, which is not among the [entries](Self::entries) yet.
    #[must_use]
    pub fn so_far(&self) -> SoFar {
        let open = self.at.is_some();
        SoFar {
            raw_bytes: if open { self.raw_bytes } else { 0 },
            newlines: if open { self.signs.newlines } else { 0 },
        }
    }

    /// The entries of the blocks that are complete.
    #[must_use]
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }
}

/// The Adler-32 of two runs of bytes one after the other, from that of each and the length of the
/// second: the low half is one more than the sum of all bytes, the high half the sum of the low
/// halves at each byte, both modulo the same prime.
fn combine(before: u32, after: u32, after_bytes: u64) -> u32 {
    const PRIME: u64 = 65_521;
    let halves = |adler: u32| (u64::from(adler & 0xffff), u64::from(adler >> 16));
    let ((low1, high1), (low2, high2)) = (halves(before), halves(after));
    // The second run's low half began at 1, where here it begins at the first run's.
    let shift = low1 + PRIME - 1;
    let low = (low2 + shift) % PRIME;
    let high = (high1 + high2 + (after_bytes % PRIME) * (shift % PRIME)) % PRIME;
    // Both are below 2^16.
    u32::try_from(high << 16 | low).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adler(bytes: &[u8]) -> u32 {
        simd_adler32::adler32(&bytes)
    }

    #[test]
    fn the_checksum_of_two_runs_follows_from_that_of_each() {
        let bytes: Vec<u8> = (0..200_000_usize)
            .map(|n| [250, 7, 255, 0, 129][(n * n + n / 7) % 5])
            .collect();
        for cut in [0, 1, 2, 65_520, 65_521, 65_522, 131_042, 199_999, 200_000] {
            let (before, after) = bytes.split_at(cut);
            let combined = combine(adler(before), adler(after), after.len() as u64);
            assert_eq!(combined, adler(&bytes), "cut at {cut}");
        }
    }
}

//! What fuzz targets share: cuts of an input, and the memory that a run takes.

#![allow(missing_docs, reason = "not part of any interface")]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What may be taken beside the input's share.
const SLACK_BYTES: usize = 64 << 10;

/// Cuts an input into pieces that depend on nothing but the input: many short, some long. So the
/// archives of the tests are good seeds as they are.
pub fn pieces(mut input: &[u8]) -> Vec<&[u8]> {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let mut random = hasher.finish() | 1;
    let mut pieces = Vec::new();
    while !input.is_empty() {
        // Xorshift, by Marsaglia.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let longest = if random % 4 == 0 { 4096 } else { 12 };
        let length = (random >> 8) as usize % longest;
        let (piece, rest) = input.split_at(length.min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

/// Runs `work`, and panics if it held more than `factor` times the input at once.
pub fn within<T>(input: &[u8], factor: usize, work: impl FnOnce() -> T) -> T {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let allowed = SLACK_BYTES + factor * input.len();
    assert!(
        taken <= allowed,
        "{taken} bytes for {} of input",
        input.len()
    );
    result
}

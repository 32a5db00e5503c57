//! Memory that hostile archives make the parser take, measured by the allocator. One test, so
//! that no other allocates beside it.

use peak_alloc::PeakAlloc;
use pgdump_archive::{ArchiveError, Bound, Limits, Parser};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const LIMIT: usize = 4 << 20;
const SLACK: usize = 64 << 10;

/// Pushes `start` once and `again` until an error, at most `times`; returns the result and the
/// memory that this took at most.
fn push(start: &[u8], again: &[u8], times: usize) -> (Result<(), ArchiveError>, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut parser = Parser::with_limits(Limits::default().with_max_toc_bytes(LIMIT));
    let mut result = parser.push(start, &mut |_| {});
    for _ in 0..times {
        result = result.and_then(|()| parser.push(again, &mut |_| {}));
    }
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    // Asked after the peak was read, so that dropping or finishing cannot hide it.
    assert!(parser.finish().is_err());
    (result, taken)
}

fn int(value: i32) -> [u8; 5] {
    let [a, b, c, d] = value.unsigned_abs().to_le_bytes();
    [u8::from(value < 0), a, b, c, d]
}

fn string(text: &str) -> Vec<u8> {
    let length = int(i32::try_from(text.len()).expect("a short string"));
    [&length, text.as_bytes()].concat()
}

/// A header of version 1.16 and the number of entries.
fn head(entries: i32) -> Vec<u8> {
    let mut bytes = b"PGDMP\x01\x10\x00\x04\x08\x01\x00".to_vec();
    (0..7).for_each(|_| bytes.extend(int(1)));
    (0..3).for_each(|_| bytes.extend(string("x")));
    bytes.extend(int(entries));
    bytes
}

/// The start of an entry, up to its definition.
fn entry_start(owes_data: bool) -> Vec<u8> {
    let fields = [string("0"), string("0"), string("t"), string("d")].concat();
    [&int(1), &int(owes_data.into()), &fields[..], &int(3)].concat()
}

/// The end of an entry, from its definition to before its dependencies.
fn entry_middle() -> Vec<u8> {
    [
        int(-1).repeat(6),
        int(0).to_vec(),
        int(-1).to_vec(),
        string("false"),
    ]
    .concat()
}

fn entry(owes_data: bool) -> Vec<u8> {
    let flag = if owes_data { 1 } else { 3 };
    let end = [&int(-1)[..], &[flag, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    [entry_start(owes_data), entry_middle(), end].concat()
}

fn assert_toc_too_large(result: &Result<(), ArchiveError>) {
    assert!(
        matches!(
            result,
            Err(ArchiveError::TooLarge {
                bound: Bound::Toc,
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn memory_follows_what_arrives_and_stays_within_the_limits() {
    // Claims alone: entries, a string within the limits, a chunk.
    let (result, taken) = push(&head(i32::MAX), &[], 0);
    assert!(
        result.is_ok() && taken < SLACK,
        "{taken} bytes for claimed entries"
    );
    let claim = [head(1), entry_start(false), int(4_000_000).to_vec()].concat();
    let (result, taken) = push(&claim, b"a", 100);
    assert!(
        result.is_ok() && taken < SLACK,
        "{taken} bytes for a claimed string"
    );
    let block = [&[1], &int(1)[..], &int(i32::MAX)].concat();
    let (result, taken) = push(&[head(1), entry(true), block.clone()].concat(), b"a", 100);
    assert!(
        result.is_ok() && taken < SLACK,
        "{taken} bytes for a claimed chunk"
    );

    // 200 MB of data.
    let piece = vec![b'a'; 1 << 20];
    let (result, taken) = push(&[head(1), entry(true), block].concat(), &piece, 200);
    assert!(
        result.is_ok() && taken < SLACK,
        "{taken} bytes for data that passes"
    );

    // Small entries without end: counted for more than they take.
    let entries = entry(false).repeat(50);
    let (result, taken) = push(&head(i32::MAX), &entries, 10_000);
    assert_toc_too_large(&result);
    assert!(taken < LIMIT + SLACK, "{taken} bytes for small entries");
    assert!(
        taken > LIMIT / 4,
        "{taken} bytes: the limit is not absurdly early"
    );

    // Dependencies without end.
    let start = [head(1), entry_start(false), entry_middle()].concat();
    let (result, taken) = push(&start, &string("7").repeat(100), 100_000);
    assert_toc_too_large(&result);
    assert!(taken < LIMIT + SLACK, "{taken} bytes for dependencies");

    // One entry with a string just within the limit: the bytes, and the growing buffer of them.
    let start = [head(1), entry_start(false), int(4_000_000).to_vec()].concat();
    let (result, taken) = push(&start, &vec![b'a'; 4096], 2_000);
    assert!(result.is_err());
    assert!(taken < 4 * LIMIT, "{taken} bytes for one string");
}

//! Any bytes in any pieces: no panic, the same result as in one push, and no more memory than the
//! input accounts for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgdump_archive::{ArchiveError, Event, Parser, Proof};
use pgdump_archive_fuzz::{pieces, within};

/// The parser's part of what an entry takes, against the 100 bytes that it has at least.
const FACTOR: usize = 16;

fn run<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    log: &mut Vec<u8>,
) -> (u64, Result<Proof, ArchiveError>) {
    let mut parser = Parser::new();
    for piece in pieces {
        // The error comes again from `finish`.
        let pushed = parser.push(piece, &mut |event| match event {
            // Adjacent data may be cut in any way.
            Event::Data(data) => log.extend_from_slice(data),
            Event::Toc(toc) => log.extend_from_slice(&toc.entries().len().to_le_bytes()),
            Event::Header(header) => log.push(header.version.minor),
            Event::DataStart { dump_id, .. } => log.extend_from_slice(&dump_id.get().to_le_bytes()),
            Event::LargeObjectStart { oid } => log.extend_from_slice(&oid.to_le_bytes()),
            Event::DataEnd { stored_bytes, .. } | Event::LargeObjectEnd { stored_bytes, .. } => {
                log.extend_from_slice(&stored_bytes.to_le_bytes());
            }
            _ => unreachable!("an event that this target does not know"),
        });
        if pushed.is_err() {
            break;
        }
    }
    (parser.position(), parser.finish())
}

fuzz_target!(|input: &[u8]| {
    // The logs get their room before memory is measured. An event adds at most 8 bytes, and has
    // at least 5 in the input.
    let (mut whole_log, mut split_log) = (
        Vec::with_capacity(2 * input.len() + 64),
        Vec::with_capacity(2 * input.len() + 64),
    );
    let split = pieces(input);
    let (_, whole_result) = within(input, FACTOR, || run([input], &mut whole_log));
    let (position, split_result) = within(input, FACTOR, || run(split, &mut split_log));
    assert_eq!(whole_result, split_result);
    assert!(whole_log == split_log, "the events differ");
    assert!(position <= input.len() as u64);
    if let Ok(proof) = whole_result {
        assert_eq!(proof.archive_bytes, input.len() as u64);
    }
});

//! Any bytes in any pieces, decompressed: no panic, and the same index as in one push.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgdump_archive::{Event, Index, IndexError, IndexingParser, Proof};
use pgdump_archive_fuzz::pieces;

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Proof, Index), IndexError> {
    let mut parser = IndexingParser::new();
    for piece in pieces {
        parser.push(piece, &mut |_: Event<'_>| {})?;
    }
    parser.finish()
}

fuzz_target!(|input: &[u8]| {
    let (whole, split) = (run([input]), run(pieces(input)));
    match (&whole, &split) {
        (Ok(whole), Ok(split)) => assert_eq!(whole, split),
        // Where damage is seen first in a stream may depend on the cuts.
        (Err(_), Err(_)) => {}
        _ => panic!("{whole:?} in one push, {split:?} in pieces"),
    }
});

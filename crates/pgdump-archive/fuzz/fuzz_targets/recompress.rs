//! Any bytes in any pieces, compressed anew: no panic, the same archive as in one push, and one that holds what the
//! source held.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgdump_archive::{
    Assembler, Codec, Event, Index, IndexEntry, IndexingParser, Packer, Piece, Recompression,
    Recompressor,
};
use pgdump_archive_fuzz::pieces;

const CODECS: [&str; 4] = ["none", "gzip:1", "lz4", "zstd:1"];

/// What is made of an input; none where it is refused.
fn run<'a>(codec: Codec, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<(Vec<u8>, Index)> {
    let how = Recompression::new(codec).with_raise_version(true);
    let (mut recompressor, mut assembler) = (Recompressor::new(how), Assembler::new());
    let mut packer = Packer::new(codec).expect("the codec is built in");
    let mut out = Vec::new();
    let mut write = |piece: Piece| {
        let packed = piece
            .pack(&mut packer)
            .expect("any bytes can be compressed");
        out.extend(assembler.push(packed).expect("pieces come in order"));
    };
    for bytes in pieces {
        recompressor.push(bytes, &mut |_: Event<'_>| {}).ok()?;
        while let Some(piece) = recompressor.take_piece() {
            write(piece);
        }
    }
    let (last, source) = recompressor.finish().ok()?;
    last.into_iter().for_each(&mut write);
    let (proof, index) = assembler.finish(source).expect("no piece is missing");
    assert_eq!(proof.archive_bytes, out.len() as u64);
    Some((out, index))
}

fn index_of(archive: &[u8]) -> Index {
    let mut parser = IndexingParser::new();
    let pushed = parser.push(archive, &mut |_: Event<'_>| {});
    pushed.expect("what was written can be read");
    parser.finish().expect("what was written is whole").1
}

/// What does not depend on how the data is stored.
fn content(index: &Index) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let of = |entry: &IndexEntry| {
        (
            entry.dump_id,
            entry.rows,
            entry.raw_bytes,
            entry.large_objects,
            entry.raw_xxh3_128,
        )
    };
    index.entries.iter().map(of).collect()
}

fuzz_target!(|input: &[u8]| {
    for codec in CODECS {
        let codec: Codec = codec.parse().expect("a codec's name");
        let (whole, split) = (run(codec, [input]), run(codec, pieces(input)));
        assert!(
            whole == split,
            "the archive depends on how its source was cut"
        );
        if let Some((archive, index)) = whole {
            assert_eq!(index_of(&archive), index);
            assert_eq!(content(&index), content(&index_of(input)));
        }
    }
});

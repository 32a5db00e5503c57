//! Memory that data makes the writing half take, measured by the allocator: one test, so that no
//! other allocates beside it. What zstd's library allocates in C is not seen here.

use peak_alloc::PeakAlloc;
use pgdump_archive::{
    Assembler, Codec, IndexingParser, Packer, Piece, Recompression, Recompressor, encode,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A head whose first table is to be written by the test, and that table's dump id.
fn head() -> (Vec<u8>, i32) {
    let golden = include_bytes!("golden/pg16-file-none.dump");
    let mut parser = pgdump_archive::Parser::new();
    parser.push(golden, &mut |_| {}).expect("a good archive");
    let toc = parser
        .toc()
        .expect("a table of contents")
        .with_offsets(|_| None);
    let first = toc.data_entries().next().expect("a table").dump_id.get();
    let head = encode(parser.header().expect("a header"), &toc).expect("as it was");
    (head, first)
}

/// Recompresses a table of `rows` equal rows, packing each piece as it comes, and reads what comes
/// out again; gives the most memory that this took.
fn recompress(codec: Codec, rows: usize) -> usize {
    let (head, table) = head();
    let row = [&[0, 100, 0, 0, 0][..], &[b'x'; 99], b"\n"].concat();
    let many = row.repeat(10_000);
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut recompressor = Recompressor::new(Recompression::new(codec));
    let (mut packer, mut assembler) = (Packer::new(codec).expect("a packer"), Assembler::new());
    let mut reader = IndexingParser::new();
    let mut pass = |piece: Piece| {
        let packed = piece.pack(&mut packer).expect("it can be packed");
        let bytes = assembler.push(packed).expect("the piece that is due");
        reader.push(&bytes, &mut |_| {}).expect("what we wrote");
    };
    let start = [&[1, 0][..], &table.to_le_bytes()].concat();
    for bytes in [&head, &start]
        .into_iter()
        .chain(std::iter::repeat_n(&many, rows / 10_000))
    {
        recompressor
            .push(bytes, &mut |_| {})
            .expect("a good archive");
        std::iter::from_fn(|| recompressor.take_piece()).for_each(&mut pass);
    }
    ALLOCATOR.peak_usage().saturating_sub(before)
}

#[test]
fn memory_does_not_grow_with_the_data() {
    for text in ["none", "gzip:1", "lz4", "zstd:1"] {
        let codec: Codec = text.parse().expect("a codec");
        let (little, much) = (recompress(codec, 50_000), recompress(codec, 1_000_000));
        assert!(
            much < little + (64 << 10),
            "{text}: {little} grew to {much}"
        );
        // The piece at hand, those of one push and the packed one, each with its room.
        assert!(much < 8 * codec.piece_bytes(), "{text}: {much}");
    }
}

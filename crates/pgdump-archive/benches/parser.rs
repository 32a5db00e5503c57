//! How fast the parser alone goes over an uncompressed archive, from memory and on one core; and how fast where it also
//! makes an index, which counts rows and columns.
//!
//! Without compression pg_dump writes each row as a chunk of its own, so that short rows are the
//! hard case: a length to read for every few bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pgdump_archive::{Event, IndexingParser, Parser};

/// Larger than the caches that one core has for itself.
const DATA_BYTES: usize = 64 << 20;
/// What a pipe of the daemon holds.
const PIECE_BYTES: usize = 1 << 20;

fn int(value: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(value).expect("32 bits").to_le_bytes();
    [0, a, b, c, d]
}

fn string(text: &str) -> Vec<u8> {
    [&int(text.len())[..], text.as_bytes()].concat()
}

/// An archive of version 1.16 with the data of one table, in rows of `row_bytes`.
fn archive(row_bytes: usize) -> Vec<u8> {
    const NULL: [u8; 5] = [1, 1, 0, 0, 0];
    let mut bytes = b"PGDMP\x01\x10\x00\x04\x08\x01\x00".to_vec();
    bytes.extend(int(1).repeat(7));
    bytes.extend(string("x").repeat(3));
    // One entry: its id, its flag for data, catalog, oid, name, description, section.
    bytes.extend([int(1), int(1), int(1)].concat());
    bytes.extend([string("0"), string("0"), string("t"), string("TABLE DATA")].concat());
    bytes.extend(int(3));
    // Definition to access method, relkind, owner, oids, no dependencies, no offset.
    bytes.extend([&NULL.repeat(2)[..], &string("COPY t (a, b) FROM stdin;\n")].concat());
    bytes.extend([&NULL.repeat(3)[..], &int(0), &NULL, &string("false")].concat());
    bytes.extend([&NULL[..], &[1], &[0; 8]].concat());
    // The block.
    bytes.extend([&[1][..], &int(1)].concat());
    let row = [&vec![b'a'; row_bytes - 3][..], b"\tb\n"].concat();
    let chunk = [&int(row_bytes)[..], &row].concat();
    bytes.extend(chunk.repeat(DATA_BYTES / chunk.len()));
    bytes.extend([&int(5)[..], b"\\.\n\n\n"].concat());
    bytes.extend(int(0));
    bytes
}

fn parse(archive: &[u8]) -> usize {
    let (mut parser, mut data_bytes) = (Parser::new(), 0);
    for piece in archive.chunks(PIECE_BYTES) {
        let pushed = parser.push(piece, &mut |event| {
            if let Event::Data(bytes) = event {
                data_bytes += bytes.len();
            }
        });
        pushed.expect("a good archive");
    }
    let proof = parser.finish().expect("a whole archive");
    assert_eq!(proof.data_bytes, data_bytes as u64);
    data_bytes
}

fn index(archive: &[u8]) -> usize {
    let mut parser = IndexingParser::new();
    for piece in archive.chunks(PIECE_BYTES) {
        parser.push(piece, &mut |_| {}).expect("a good archive");
    }
    let (_, index) = parser.finish().expect("a whole archive");
    index.entries.len()
}

fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parser");
    for row_bytes in [20, 100, 1000] {
        let archive = archive(row_bytes);
        group.throughput(Throughput::Bytes(archive.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("rows", row_bytes),
            &archive,
            |bencher, archive| bencher.iter(|| parse(archive)),
        );
        group.bench_with_input(
            BenchmarkId::new("indexed rows", row_bytes),
            &archive,
            |bencher, archive| bencher.iter(|| index(archive)),
        );
    }
}

criterion_group!(benches, rows);
criterion_main!(benches);

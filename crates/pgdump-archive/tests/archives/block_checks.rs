//! Single blocks, intact and damaged.

use crate::support::{golden, large, recompress};
use pgdump_archive::{
    BlockCheck, BlockDamage, Compression, Difference, Index, IndexEntry, IndexingParser,
    check_block,
};

fn indexed(archive: &[u8]) -> (Compression, Index) {
    let mut parser = IndexingParser::new();
    parser.push(archive, &mut |_| {}).unwrap();
    let compression = parser.header().unwrap().compression;
    (compression, parser.finish().unwrap().1)
}

fn block<'a>(archive: &'a [u8], entry: &IndexEntry) -> &'a [u8] {
    let range = entry.range().unwrap();
    &archive[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

#[test]
fn every_flipped_bit_of_every_block_is_found_in_its_block() {
    for name in [
        "pg18-pipe-zstd",
        "pg18-pipe-lz4",
        "pg14-pipe-gzip",
        "pg16-file-none",
    ] {
        let archive = golden(name);
        let (compression, index) = indexed(&archive);
        for entry in &index.entries {
            let mut bytes = block(&archive, entry).to_vec();
            assert_eq!(check_block(&bytes, entry, compression), Ok(()), "{name}");
            // Each byte of the small blocks, some of the larger.
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 400) {
                let bit = 1 << (at % 8);
                bytes[at] ^= bit;
                let found = check_block(&bytes, entry, compression);
                assert!(found.is_err(), "{name} {} byte {at}", entry.name);
                bytes[at] ^= bit;
            }
        }
    }
}

#[test]
fn flipped_bits_in_what_we_compressed_are_found() {
    for text in ["zstd:1", "gzip:6", "lz4", "none"] {
        let (archive, _, index) = recompress(&large("pg16-file-none"), text);
        let compression = indexed(&archive).0;
        let entry = index
            .entries
            .iter()
            .max_by_key(|entry| entry.raw_bytes)
            .unwrap();
        let mut bytes = block(&archive, entry).to_vec();
        assert_eq!(check_block(&bytes, entry, compression), Ok(()));
        for step in 0..40 {
            let at = bytes.len() / 40 * step + step;
            bytes[at] ^= 1 << (step % 8);
            assert!(
                check_block(&bytes, entry, compression).is_err(),
                "{text} byte {at}"
            );
            bytes[at] ^= 1 << (step % 8);
        }
    }
}

#[test]
fn a_block_that_is_cut_or_too_long_is_damaged() {
    let archive = golden("pg16-pipe-zstd");
    let (compression, index) = indexed(&archive);
    for entry in &index.entries {
        let bytes = block(&archive, entry);
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 100) {
            let found = check_block(&bytes[..cut], entry, compression);
            assert!(matches!(found, Err(BlockDamage::Structure(_))), "{found:?}");
        }
        let expected = entry.block_bytes;
        let longer = [bytes, &[1]].concat();
        assert_eq!(
            check_block(&longer, entry, compression),
            Err(BlockDamage::TooLong { expected })
        );
        let mut check = BlockCheck::new(entry, compression).unwrap();
        bytes.chunks(7).for_each(|piece| check.push(piece).unwrap());
        assert_eq!(check.finish(), Ok(()));
    }
}

#[test]
fn damage_of_data_differs_from_that_of_stored_form() {
    let archive = golden("pg16-pipe-zstd");
    let (compression, index) = indexed(&archive);
    let entry = index
        .entries
        .iter()
        .find(|entry| entry.rows == Some(200))
        .unwrap();
    let bytes = block(&archive, entry);
    let differs = |change: fn(&mut IndexEntry)| {
        let mut other = entry.clone();
        change(&mut other);
        match check_block(bytes, &other, compression) {
            Err(BlockDamage::Differs { what }) => Some(what),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        differs(|e| e.raw_xxh3_128 = e.block_xxh3_128),
        Some(Difference::Data)
    );
    assert_eq!(differs(|e| e.raw_bytes += 1), Some(Difference::Data));
    assert_eq!(differs(|e| e.rows = Some(201)), Some(Difference::Counts));
    assert_eq!(
        differs(|e| e.block_xxh3_128 = e.raw_xxh3_128),
        Some(Difference::StoredBytes)
    );
    assert_eq!(
        differs(|e| e.block_bytes += 1),
        Some(Difference::StoredBytes)
    );
    assert_eq!(
        differs(|e| e.stored_bytes = u64::MAX),
        Some(Difference::StoredBytes)
    );
}

#[test]
fn absurd_index_entries_are_refused_without_a_panic() {
    let archive = golden("pg16-pipe-gzip");
    let (compression, index) = indexed(&archive);
    let entry = &index.entries[0];
    let bytes = block(&archive, entry);
    for (offset, length) in [
        (u64::MAX, u64::MAX),
        (u64::MAX, 1),
        (0, u64::MAX),
        (1 << 63, 1),
    ] {
        let mut absurd = entry.clone();
        (absurd.offset_bytes, absurd.block_bytes) = (offset, length);
        assert_eq!(
            check_block(bytes, &absurd, compression),
            Err(BlockDamage::Nowhere)
        );
        let mut layout = index.clone();
        layout.entries[0] = absurd;
        assert!(layout.check_layout(archive.len() as u64).is_err());
    }
    let mut absurd = entry.clone();
    absurd.offset_bytes = i64::MAX.unsigned_abs() - absurd.block_bytes;
    absurd.name = "\0".repeat(10);
    assert_eq!(check_block(bytes, &absurd, compression), Ok(()));
    let size = archive.len() as u64;
    assert_eq!(index.check_layout(size), Ok(()));
    assert!(index.check_layout(size + 1).is_err());
    let mut twice = index.clone();
    twice.entries[1].dump_id = twice.entries[0].dump_id;
    assert!(twice.check_layout(size).is_err());
}

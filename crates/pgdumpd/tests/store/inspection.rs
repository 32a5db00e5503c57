//! Damage of every kind in a stored archive, and whether the right table is named.

use pgdump_archive::{Assembler, Codec, Index, IndexEntry, Packer, Recompression, Recompressor};
use pgdumpd::readback::{Inspection, Verdict};
use sha2::{Digest, Sha256};

use crate::archive::archive;

/// Some tables, compressed by us.
fn stored(codec: Codec) -> (Vec<u8>, Index) {
    let plain = archive(&[
        ("orders", 300, 90),
        ("empty", 0, 0),
        ("lines", 2000, 30),
        ("notes", 40, 700),
    ]);
    let mut recompressor = Recompressor::new(Recompression::new(codec).with_raise_version(true));
    recompressor.push(&plain, &mut |_| {}).unwrap();
    let (mut packer, mut assembler) = (Packer::new(codec).unwrap(), Assembler::new());
    let mut bytes = Vec::new();
    let mut pieces: Vec<_> = std::iter::from_fn(|| recompressor.take_piece()).collect();
    let (last, proof) = recompressor.finish().unwrap();
    pieces.extend(last);
    for piece in pieces {
        let packed = piece.pack(&mut packer).unwrap();
        bytes.extend(assembler.push(packed).unwrap());
    }
    (bytes, assembler.finish(proof).unwrap().1)
}

fn inspect(bytes: &[u8], index: &Index, codec: Codec) -> Verdict {
    let mut inspection = Inspection::indexed(index.clone(), codec.compression());
    for piece in bytes.chunks(4096) {
        inspection.push(piece);
    }
    inspection.finish()
}

/// Whose bytes lie at this place; none: those of header and table of contents.
fn owner(index: &Index, at: usize) -> Option<&IndexEntry> {
    index
        .entries
        .iter()
        .find(|entry| entry.range().unwrap().contains(&(at as u64)))
}

#[test]
fn each_of_1000_flipped_bits_is_found_and_the_damaged_table_is_the_one_named() {
    // A generator with a fixed seed, so that a failure can be repeated.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for codec in [
        Codec::NONE,
        Codec::gzip(6).unwrap(),
        Codec::zstd(1).unwrap(),
        Codec::LZ4,
    ] {
        let (good, index) = stored(codec);
        let verdict = inspect(&good, &index, codec);
        assert_eq!(
            (verdict.damaged.len(), verdict.good),
            (0, Some(4)),
            "{codec}: {verdict:?}"
        );
        for _ in 0..250 {
            let (at, bit) = (next(good.len()), next(8));
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let verdict = inspect(&bytes, &index, codec);
            let expected = owner(&index, at).map(|entry| format!("app.{}", entry.name));
            let named: Vec<_> = verdict
                .damaged
                .iter()
                .map(|damage| damage.table.clone())
                .collect();
            assert_eq!(named, [expected], "{codec}: bit {bit} of byte {at}");
            assert_eq!(verdict.sha256.len(), 64);
            let digits: String = Sha256::digest(&bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(verdict.sha256, digits);
        }
    }
}

#[test]
fn what_was_cut_off_and_what_never_came_are_distinguished() {
    let codec = Codec::zstd(1).unwrap();
    let (good, index) = stored(codec);
    let cut = usize::try_from(index.entries[2].offset_bytes).unwrap() + 10;
    let verdict = inspect(&good[..cut], &index, codec);
    let told: Vec<_> = verdict
        .damaged
        .iter()
        .map(|damage| {
            (
                damage.table.as_deref().unwrap_or_default(),
                damage.what.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("app.lines", "is cut off"), ("app.notes", "is missing")]
    );
    assert_eq!(verdict.good, Some(2));
    assert_eq!(inspect(&[], &index, codec).damaged.len(), 5);
}

#[test]
fn any_bytes_are_safe_and_never_called_good() {
    let codec = Codec::gzip(6).unwrap();
    let (good, index) = stored(codec);
    for shift in [1, 7, 100] {
        let verdict = inspect(&good[shift..], &index, codec);
        assert_eq!(verdict.good, Some(0), "{shift}");
    }
}

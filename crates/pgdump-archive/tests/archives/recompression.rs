//! Archives without compression, compressed anew.

use std::collections::BTreeMap;

use crate::support::{Seen, blocks, golden, goldens, head, large, read, recompress, recompress_in};
use pgdump_archive::{
    AssembleError, Assembler, Checksum, Codec, Compression, DataKind, DataOffset, Decoder,
    FillOffsetsError, Index, IndexEntry, IndexingParser, Limits, Packer, RecompressError,
    Recompression, Recompressor, encode, fill_offsets,
};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample;
use proptest::{prop_assert, proptest};

const CODECS: [&str; 8] = [
    "none", "gzip:1", "gzip:6", "gzip:9", "lz4", "zstd:1", "zstd:3", "zstd:9",
];

fn codec(text: &str) -> Codec {
    text.parse().unwrap()
}

fn index_of(archive: &[u8]) -> Index {
    let mut parser = IndexingParser::new();
    parser.push(archive, &mut |_| {}).unwrap();
    parser.finish().unwrap().1
}

/// The raw bytes of each table and each large object.
fn contents(archive: &[u8]) -> BTreeMap<(i32, u32), Vec<u8>> {
    let mut decoder = Decoder::new(head(archive).0.compression).unwrap();
    let (mut found, mut at) = (BTreeMap::new(), (0, 0));
    for seen in read([archive]).0.0 {
        match seen {
            Seen::Start(dump_id, _) => at = (dump_id, 0),
            Seen::Object(oid) => at.1 = oid,
            Seen::Data(stored) => {
                let raw = found.entry(at).or_insert_with(Vec::new);
                decoder
                    .push(&stored, &mut |piece| raw.extend_from_slice(piece))
                    .unwrap();
            }
            Seen::ObjectEnd(..) => decoder.finish().unwrap(),
            Seen::End(..) if at.1 == 0 => decoder.finish().unwrap(),
            _ => continue,
        }
        found.entry(at).or_default();
    }
    found
}

/// An entry without what compression changes.
fn raw(entry: &IndexEntry) -> IndexEntry {
    let mut entry = entry.clone();
    (entry.stored_bytes, entry.block_bytes, entry.offset_bytes) = (0, 0, 0);
    entry.block_xxh3_128 = entry.raw_xxh3_128;
    entry
}

#[test]
fn every_codec_gives_a_whole_archive_of_the_same_content() {
    for major in 14..=18 {
        let source = large(&format!("pg{major}-file-none"));
        let raw_contents = contents(&source);
        // What differs between versions is the head; one of them goes through every level.
        let codecs = if major == 16 {
            &CODECS[..]
        } else {
            &["gzip:1", "zstd:1"]
        };
        for text in codecs {
            let (archive, proof, index) = recompress(&source, text);
            let mut parser = IndexingParser::new();
            parser.push(&archive, &mut |_| {}).unwrap();
            let header = parser.header().unwrap().clone();
            assert_eq!(parser.finish().unwrap(), (proof, index), "{major} {text}");
            assert_eq!(header.compression, codec(text).compression());
            assert!(contents(&archive) == raw_contents, "{major} {text}");
        }
    }
}

#[test]
fn the_index_is_the_same_whoever_compressed() {
    for major in 14..=18 {
        let ours = recompress(&golden(&format!("pg{major}-file-none")), "gzip:6").2;
        let ours: Vec<_> = ours.entries.iter().map(raw).collect();
        let theirs = goldens();
        let theirs = theirs.iter().filter(|(name, _)| {
            name.starts_with(&format!("pg{major}-"))
                && ["gzip", "zstd", "lz4", "none"]
                    .iter()
                    .any(|how| name.ends_with(how))
        });
        for (name, archive) in theirs {
            let index = index_of(archive);
            index.check_layout(archive.len() as u64).unwrap();
            assert_eq!(
                index.entries.iter().map(raw).collect::<Vec<_>>(),
                ours,
                "{name}"
            );
        }
    }
}

#[test]
fn the_index_says_what_is_in_each_block_and_where() {
    let archive = golden("pg16-pipe-zstd");
    let index = index_of(&archive);
    let toc = head(&archive).1;
    let rows = |tag: &str| {
        let entry = index
            .entries
            .iter()
            .find(|entry| entry.name == tag)
            .unwrap();
        assert_eq!(entry.kind, DataKind::Table);
        assert_eq!(entry.large_objects, None);
        entry.rows
    };
    assert_eq!(rows("orders"), Some(200));
    assert_eq!(rows("empty"), Some(0));
    assert_eq!(rows("no_columns"), Some(3));
    assert_eq!(rows("a \"quoted\" table\nname"), Some(1));
    let objects = index
        .entries
        .iter()
        .find(|entry| entry.kind == DataKind::LargeObjects)
        .unwrap();
    assert_eq!((objects.large_objects, objects.rows), (Some(4), None));
    assert_eq!(objects.raw_bytes, 5 + 4800 + 11);
    for ((entry, range), owner) in index
        .entries
        .iter()
        .zip(blocks(&archive))
        .zip(toc.data_entries())
    {
        assert_eq!(entry.range(), Some(range.start as u64..range.end as u64));
        assert_eq!(entry.dump_id, owner.dump_id);
    }
    let inserts = index_of(&golden("pg16-pipe-inserts"));
    assert!(inserts.entries.iter().all(|entry| entry.rows.is_none()));
}

#[test]
fn the_checksums_are_what_they_are_said_to_be() {
    let archive = golden("pg18-pipe-zstd");
    let index = index_of(&archive);
    let end = usize::try_from(index.head_bytes).unwrap();
    assert_eq!(index.head_xxh3_128, Checksum::of(&archive[..end]));
    let contents = contents(&archive);
    for (entry, range) in index.entries.iter().zip(blocks(&archive)) {
        assert_eq!(entry.block_xxh3_128, Checksum::of(&archive[range]));
        let mut raw = Vec::new();
        // pg_dump writes large objects in the order of their oids.
        for ((dump_id, oid), content) in &contents {
            if *dump_id == entry.dump_id.get() && *oid == 0 {
                raw.extend_from_slice(content);
            } else if *dump_id == entry.dump_id.get() {
                raw.extend(oid.to_le_bytes());
                raw.extend_from_slice(content);
                raw.extend((content.len() as u64).to_le_bytes());
            }
        }
        if entry.kind == DataKind::LargeObjects {
            assert!(raw.len() as u64 > entry.raw_bytes);
        }
        assert_eq!(entry.raw_xxh3_128, Checksum::of(&raw), "{}", entry.name);
    }
}

#[test]
fn offsets_that_are_filled_in_are_those_of_the_blocks() {
    for text in ["none", "gzip:6", "zstd:1"] {
        let (archive, _, index) = recompress(&large("pg15-file-none"), text);
        let end = usize::try_from(index.head_bytes).unwrap();
        assert!(
            head(&archive)
                .1
                .data_entries()
                .all(|e| e.data_offset == DataOffset::Unknown)
        );
        let filled = fill_offsets(&archive[..end], &index, Limits::default()).unwrap();
        assert_eq!(filled.len(), end);
        let seekable = [&filled, &archive[end..]].concat();
        assert!(
            head(&seekable)
                .1
                .data_entries()
                .all(|e| matches!(e.data_offset, DataOffset::At(_)))
        );
        // The parser compares them with where the blocks are.
        assert!(read([&seekable[..]]).1.is_ok(), "{text}");

        assert!(fill_offsets(&archive[..end - 1], &index, Limits::default()).is_err());
        assert!(fill_offsets(&filled, &index, Limits::default()).is_err());
        let mut fewer = index.clone();
        fewer.entries.pop();
        assert!(fill_offsets(&archive[..end], &fewer, Limits::default()).is_err());
    }
}

#[test]
fn a_head_that_is_written_in_another_length_is_distinguished_from_another_head() {
    let (archive, _, mut index) = recompress(&large("pg15-file-none"), "none");
    let mut head = archive[..usize::try_from(index.head_bytes).unwrap()].to_vec();
    // A dependency of one digit, and the NULL after it: now with a leading zero.
    let is_digit = |at: &usize| {
        let window = &head[*at..*at + 11];
        window[..5] == [0, 1, 0, 0, 0]
            && window[5].is_ascii_digit()
            && window[6..] == [1, 1, 0, 0, 0]
    };
    let at = (0..head.len() - 11).find(is_digit).unwrap();
    head[at + 1] = 2;
    head.insert(at + 5, b'0');
    index.head_bytes += 1;
    index.head_xxh3_128 = Checksum::of(&head);
    let error = fill_offsets(&head, &index, Limits::default()).unwrap_err();
    assert_eq!(error, FillOffsetsError::OtherLength);
}

#[test]
fn offsets_of_the_old_sizes_are_left_out() {
    let source = golden("pg17-file-none");
    let set = |archive: &[u8]| {
        let toc = head(archive).1;
        toc.data_entries()
            .any(|entry| matches!(entry.data_offset, DataOffset::At(_)))
    };
    assert!(set(&source));
    let archive = recompress(&source, "zstd:1").0;
    assert!(!set(&archive) && read([&archive[..]]).1.is_ok());
}

#[test]
fn each_zstd_frame_has_its_size_and_a_checksum() {
    let archive = recompress(&large("pg17-file-none"), "zstd:1").0;
    let mut streams = 0;
    for seen in read([&archive[..]]).0.0 {
        let Seen::Data(stored) = seen else { continue };
        streams += 1;
        assert_eq!(stored[..4], [0x28, 0xb5, 0x2f, 0xfd]);
        // A content checksum; a size, of one byte where the frame is one segment.
        assert_eq!(stored[4] & 0b100, 0b100);
        assert!(stored[4] & 0b1110_0000 != 0);
    }
    assert!(streams > 600);
}

#[test]
fn what_is_compressed_already_or_cannot_be_recorded_is_refused() {
    let push = |archive: &[u8], how: Recompression| {
        let mut recompressor = Recompressor::new(how);
        let result = recompressor.push(archive, &mut |_| {});
        assert_eq!(recompressor.push(b"", &mut |_| {}), result);
        assert!(recompressor.take_piece().is_none());
        let again = recompressor.finish().unwrap_err();
        assert_eq!(result, Err(again));
        result.unwrap_err()
    };
    let zstd = Recompression::new(codec("zstd:1"));
    let found = Compression::Gzip;
    assert_eq!(
        push(&golden("pg16-pipe-gzip"), zstd.with_raise_version(true)),
        RecompressError::Compressed { found }
    );
    let error = push(&golden("pg14-file-none"), zstd);
    assert!(matches!(error, RecompressError::Encode(_)), "{error}");
    assert!(matches!(
        push(b"-- plain SQL", zstd),
        RecompressError::Archive(_)
    ));
}

#[test]
fn a_piece_out_of_order_or_missing_is_noticed() {
    let source = large("pg16-file-none");
    let mut recompressor = Recompressor::new(Recompression::new(codec("zstd:1")));
    recompressor.push(&source, &mut |_| {}).unwrap();
    let mut pieces: Vec<_> = std::iter::from_fn(|| recompressor.take_piece()).collect();
    let (last, proof) = recompressor.finish().unwrap();
    pieces.extend(last);
    assert!(pieces.len() > 4);
    let mut packer = Packer::new(codec("zstd:1")).unwrap();
    let mut pack = |piece: pgdump_archive::Piece| piece.pack(&mut packer).unwrap();
    let mut assembler = Assembler::new();
    let third = pack(pieces.remove(2));
    let (found, expected) = (2, 0);
    assert_eq!(
        assembler.push(third),
        Err(AssembleError::OutOfOrder { found, expected })
    );
    for piece in pieces.drain(..2) {
        assembler.push(pack(piece)).unwrap();
    }
    assert_eq!(assembler.finish(proof), Err(AssembleError::Incomplete));
}

#[test]
fn a_raised_archive_says_1_15() {
    let (archive, _, _) = recompress(&golden("pg14-file-none"), "zstd:1");
    assert_eq!(head(&archive).0.version.to_string(), "1.15");
    let (archive, _, _) = recompress(&golden("pg14-file-none"), "gzip:6");
    let header = head(&archive).0;
    assert_eq!(
        (header.version.to_string(), header.compression_level),
        ("1.14".into(), Some(6))
    );
}

#[test]
fn many_small_streams_share_a_piece_and_one_large_stream_fills_many() {
    let source = large("pg18-file-none");
    let mut recompressor = Recompressor::new(Recompression::new(codec("gzip:6")));
    recompressor.push(&source, &mut |_| {}).unwrap();
    let mut sizes: Vec<_> =
        std::iter::from_fn(|| recompressor.take_piece().map(|piece| piece.raw_bytes())).collect();
    sizes.extend(
        recompressor
            .finish()
            .unwrap()
            .0
            .iter()
            .map(|piece| piece.raw_bytes()),
    );
    let limit = codec("gzip:6").piece_bytes();
    assert!(sizes.iter().all(|size| *size <= limit), "{sizes:?}");
    assert_eq!(sizes[0], 0, "the head is a piece of its own");
    assert!(sizes.len() < 20, "{sizes:?}");
    assert!(
        sizes.iter().filter(|size| **size > limit * 9 / 10).count() >= 4,
        "{sizes:?}"
    );
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(12))]
    #[test]
    fn any_split_of_the_input_gives_the_same_archive_and_index(
        cuts in vec(any::<sample::Index>(), 0..300),
        which in 0..3_usize,
    ) {
        let text = ["none", "gzip:1", "zstd:1"][which];
        let source = large("pg17-file-none");
        let whole = recompress(&source, text);
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(source.len() + 1)).collect();
        at.extend([0, source.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| &source[pair[0]..pair[1]]);
        prop_assert!(recompress_in(pieces, text) == whole);

        let mut parser = IndexingParser::new();
        for pair in at.windows(2) {
            let (start, end) = (pair[0].min(whole.0.len()), pair[1].min(whole.0.len()));
            parser.push(&whole.0[start..end], &mut |_| {}).unwrap();
        }
        let end = at[at.len() - 1].min(whole.0.len());
        parser.push(&whole.0[end..], &mut |_| {}).unwrap();
        prop_assert!(parser.finish().unwrap() == (whole.1, whole.2));
    }
}

#[test]
fn an_archive_byte_by_byte_gives_the_same_index() {
    for name in [
        "pg16-pipe-zstd",
        "pg16-pipe-lz4",
        "pg14-pipe-gzip",
        "pg18-file-none",
    ] {
        let archive = golden(name);
        let mut parser = IndexingParser::new();
        archive
            .chunks(1)
            .for_each(|byte| parser.push(byte, &mut |_| {}).unwrap());
        assert_eq!(parser.finish().unwrap().1, index_of(&archive), "{name}");
    }
}

#[test]
fn an_archive_without_data_has_an_empty_index() {
    let archive = golden("pg16-pipe-schema-only");
    let index = index_of(&archive);
    assert_eq!(
        (index.head_bytes, index.entries.len()),
        (archive.len() as u64, 0)
    );
    let (header, toc, _) = head(&archive);
    let none = header
        .with_compression(Compression::None, None, false)
        .unwrap();
    let (again, proof, _) = recompress(&encode(&none, &toc).unwrap(), "gzip:6");
    assert!(again == archive);
    assert_eq!(proof.archive_bytes, archive.len() as u64);
}

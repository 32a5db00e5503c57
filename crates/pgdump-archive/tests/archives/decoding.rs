//! Streams by themselves.

use crate::support::{Seen, goldens, head, large, read, recompress};
use lz4_flex::block::{compress_into_with_dict, get_maximum_output_size};
use pgdump_archive::{Compression, DecodeError, Decoder};
use twox_hash::XxHash32;

/// The stored bytes of some streams, as pg_dump and as this crate write them.
fn streams() -> Vec<(Compression, Vec<u8>)> {
    let mut archives: Vec<_> = goldens().into_iter().map(|(_, archive)| archive).collect();
    for text in ["gzip:6", "lz4", "zstd:1"] {
        archives.push(recompress(&large("pg16-file-none"), text).0);
    }
    let mut found = Vec::new();
    for archive in archives {
        let compression = head(&archive).0.compression;
        if compression != Compression::None {
            let data = read([&archive[..]]).0.0.into_iter();
            found.extend(data.filter_map(|seen| match seen {
                Seen::Data(stored) => Some((compression, stored)),
                _ => None,
            }));
        }
    }
    found
}

fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Vec<u8>, DecodeError> {
    let mut raw = Vec::new();
    let mut result = Ok(());
    for piece in pieces {
        result = result.and_then(|()| {
            decoder.push(piece, &mut |out| {
                assert!(!out.is_empty());
                raw.extend_from_slice(out);
            })
        });
    }
    let end = decoder.finish();
    result.and(end).map(|()| raw)
}

#[test]
fn a_stream_that_is_cut_anywhere_has_no_end_and_the_next_one_is_read() {
    for (compression, stored) in streams() {
        let mut decoder = Decoder::new(compression).unwrap();
        let raw = decode(&mut decoder, &[&stored]).unwrap();
        for cut in (0..stored.len()).step_by(1 + stored.len() / 50) {
            let (before, after) = stored.split_at(cut);
            assert_eq!(decode(&mut decoder, &[before, after]).as_ref(), Ok(&raw));
            // Several frames are one stream: it may be cut between them, and nowhere else.
            let between = compression != Compression::Gzip
                && cut > 0
                && decode(&mut decoder, &[after]).is_ok();
            let part = decode(&mut decoder, &[before]);
            if between {
                assert!(part.is_ok_and(|part| raw.starts_with(&part)));
            } else {
                assert_eq!(part, Err(DecodeError::Incomplete { compression }));
            }
        }
        if stored.len() < 5000 {
            let bytes: Vec<_> = stored.chunks(1).collect();
            assert_eq!(decode(&mut decoder, &bytes), Ok(raw));
        }
    }
}

#[test]
fn frames_may_follow_each_other_but_not_zlib_streams_or_garbage() {
    for (compression, stored) in streams() {
        let mut decoder = Decoder::new(compression).unwrap();
        let raw = decode(&mut decoder, &[&stored]).unwrap();
        let twice = decode(&mut decoder, &[&stored, &stored]);
        if compression == Compression::Gzip {
            assert_eq!(twice, Err(DecodeError::TrailingBytes { compression }));
        } else {
            assert_eq!(twice, Ok([&raw[..], &raw].concat()));
        }
        assert!(decode(&mut decoder, &[&stored, b"garbage"]).is_err());
        assert!(decode(&mut decoder, &[b"garbage", &stored]).is_err());
    }
}

#[test]
fn a_zstd_window_beyond_the_limit_is_refused() {
    // A frame header that asks for 256 MiB, with an empty last block.
    let frame = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 1, 0, 0];
    let mut decoder = Decoder::new(Compression::Zstd).unwrap();
    assert_eq!(decode(&mut decoder, &[&frame(27)]), Ok(Vec::new()));
    assert_eq!(Decoder::MAX_ZSTD_WINDOW_BYTES, 1 << 27);
    let refused = decode(&mut decoder, &[&frame(28)]);
    assert!(
        matches!(refused, Err(DecodeError::Corrupt { .. })),
        "{refused:?}"
    );
    assert_eq!(decode(&mut decoder, &[&frame(27)]), Ok(Vec::new()));
}

#[test]
fn lz4_frames_that_cannot_be_read_are_refused() {
    let mut decoder = Decoder::new(Compression::Lz4).unwrap();
    let mut refused = |frame: &[u8]| {
        let result = decode(&mut decoder, &[frame]);
        matches!(result, Err(DecodeError::Corrupt { .. }))
    };
    let magic = [0x04, 0x22, 0x4d, 0x18];
    for descriptor in [
        [0x00, 0x40, 0], // version 0
        [0x42, 0x40, 0], // a reserved bit
        [0x41, 0x40, 0], // a dictionary
        [0x40, 0x30, 0], // blocks of no known size
        [0x40, 0x41, 0], // a reserved bit
        [0x40, 0x40, 0], // a wrong checksum
    ] {
        assert!(
            refused(&[&magic[..], &descriptor].concat()),
            "{descriptor:?}"
        );
    }
    // The checksum fits: a block of 64 KiB and a byte, then one of none.
    let header = [&magic[..], &[0x40, 0x40, 0xc0]].concat();
    assert!(refused(&[&header[..], &[1, 0, 1, 0x80]].concat()));
    assert!(refused(&[&header[..], &[0, 0, 0, 0x80]].concat()));
    assert!(!refused(&[&header[..], &[0, 0, 0, 0]].concat()));
}

#[test]
fn lz4_blocks_refer_to_those_before_them() {
    let raw: Vec<u8> = (0..400_000_u32)
        .map(|n| (n % 50_000).wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let descriptor = [0x50, 0x40];
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18];
    frame.extend(descriptor);
    frame.push(XxHash32::oneshot(0, &descriptor).to_le_bytes()[1]);
    // Blocks of many sizes, each with a checksum: what a block repeats is 50,000 bytes back.
    let (mut at, mut sizes) = (0, [1000, 65_536, 17, 30_000, 40_000].into_iter().cycle());
    while at < raw.len() {
        let end = raw.len().min(at + sizes.next().unwrap());
        let mut block = vec![0; get_maximum_output_size(end - at)];
        let window = &raw[at.saturating_sub(65_536)..at];
        let made = compress_into_with_dict(&raw[at..end], &mut block, window).unwrap();
        block.truncate(made);
        frame.extend(u32::try_from(made).unwrap().to_le_bytes());
        frame.extend(&block);
        frame.extend(XxHash32::oneshot(0, &block).to_le_bytes());
        at = end;
    }
    frame.extend([0; 4]);
    assert!(frame.len() < raw.len() / 2, "{}", frame.len());
    let mut decoder = Decoder::new(Compression::Lz4).unwrap();
    let pieces: Vec<_> = frame.chunks(999).collect();
    assert!(decode(&mut decoder, &pieces).unwrap() == raw);
    frame[20] ^= 1;
    assert!(decode(&mut decoder, &[&frame]).is_err());
}

//! Archives that are cut, mixed up, or not archives.

use crate::support::{blocks, golden, goldens, head, read};
use pgdump_archive::{ArchiveError, ArchiveVersion, Awaited, Bound, DataOffset, Limits, Parser};

/// The archive without the blocks at these positions.
fn without(archive: &[u8], dropped: &[usize]) -> Vec<u8> {
    let ranges = blocks(archive);
    let mut left = archive[..ranges[0].start].to_vec();
    for (at, range) in ranges.into_iter().enumerate() {
        if !dropped.contains(&at) {
            left.extend_from_slice(&archive[range]);
        }
    }
    left
}

#[test]
fn a_cut_at_every_byte_is_detected_and_named_through_finish() {
    for (name, archive) in goldens()
        .iter()
        .filter(|(name, _)| name.ends_with("inserts"))
    {
        for cut in 0..archive.len() {
            let (_, result) = read([&archive[..cut]]);
            let refused = matches!(
                result,
                Err(ArchiveError::Truncated { offset, .. }) if offset == cut as u64
            ) || matches!(result, Err(ArchiveError::MissingData { .. }));
            assert!(refused, "{name} cut at {cut}: {result:?}");
        }
        assert!(read([&archive[..]]).1.is_ok());
    }
}

#[test]
fn a_cut_in_the_data_names_the_table_and_the_offset() {
    let archive = golden("pg17-pipe-gzip");
    let (_, toc, _) = head(&archive);
    for (range, entry) in blocks(&archive).into_iter().zip(toc.data_entries()) {
        let (_, result) = read([&archive[..range.end - 1]]);
        let (dump_id, name) = (entry.dump_id, entry.qualified_name());
        let awaited = Awaited::Data { dump_id, name };
        assert_eq!(
            result,
            Err(ArchiveError::Truncated {
                offset: range.end as u64 - 1,
                awaited
            })
        );
    }
    let second = blocks(&archive)[1].start;
    let offset = second as u64 + 3;
    let awaited = Awaited::BlockHeader;
    let (_, result) = read([&archive[..second + 3]]);
    assert_eq!(result, Err(ArchiveError::Truncated { offset, awaited }));
    let error = read([&archive[..archive.len() - 1]]).1.unwrap_err();
    assert!(
        error.to_string().contains("in the middle of the data of "),
        "{error}"
    );
}

#[test]
fn a_missing_data_block_is_detected_whichever_it_is() {
    for name in ["pg14-pipe-gzip", "pg18-pipe-zstd"] {
        let archive = golden(name);
        let (_, toc, _) = head(&archive);
        for (at, entry) in toc.data_entries().enumerate() {
            let (_, result) = read([&without(&archive, &[at])[..]]);
            let (dump_id, name) = (entry.dump_id, entry.qualified_name());
            assert_eq!(
                result,
                Err(ArchiveError::MissingData {
                    dump_id,
                    name,
                    missing: 1
                })
            );
        }
        let (_, result) = read([&without(&archive, &[0, 1, 2])[..]]);
        assert!(
            matches!(result, Err(ArchiveError::MissingData { missing: 3, .. })),
            "{result:?}"
        );
    }
}

#[test]
fn a_second_block_for_one_entry_is_detected() {
    let archive = golden("pg16-pipe-lz4");
    let first = blocks(&archive)[0].clone();
    let mut twice = archive[..first.end].to_vec();
    twice.extend_from_slice(&archive[first.clone()]);
    let (_, result) = read([&twice[..]]);
    let offset = first.end as u64;
    assert!(
        matches!(&result, Err(ArchiveError::DuplicateData { offset: at, .. }) if *at == offset),
        "{result:?}"
    );
}

#[test]
fn a_single_trailing_byte_is_detected() {
    for (name, archive) in goldens() {
        for garbage in [0, 1, 3, b'P', 255] {
            let mut longer = archive.clone();
            longer.push(garbage);
            let offset = archive.len() as u64;
            let (_, result) = read([&longer[..]]);
            assert_eq!(
                result,
                Err(ArchiveError::TrailingBytes { offset }),
                "{name}"
            );
        }
    }
}

#[test]
fn a_block_that_is_not_where_its_entry_says_is_refused() {
    let archive = golden("pg15-file-none");
    let ranges = blocks(&archive);
    let mut swapped = archive[..ranges[0].start].to_vec();
    for range in [ranges[1].clone(), ranges[0].clone()]
        .into_iter()
        .chain(ranges[2..].to_vec())
    {
        swapped.extend_from_slice(&archive[range]);
    }
    let (_, result) = read([&swapped[..]]);
    assert!(
        matches!(&result, Err(ArchiveError::Corrupt { .. })),
        "{result:?}"
    );
    // Without offsets any order restores, so any order is whole.
    let piped = golden("pg15-pipe-gzip");
    let ranges = blocks(&piped);
    let mut swapped = piped[..ranges[0].start].to_vec();
    for range in ranges.iter().rev() {
        swapped.extend_from_slice(&piped[range.clone()]);
    }
    assert_eq!(read([&swapped[..]]).1, read([&piped[..]]).1);
}

#[test]
fn a_flag_for_data_that_contradicts_the_offset_is_refused() {
    let archive = golden("pg16-pipe-gzip");
    let (_, toc, _) = head(&archive);
    let entry = toc.data_entries().next().unwrap();
    assert_eq!(entry.data_offset, DataOffset::Unknown);
    // After the COPY statement the next NULL, then 1, then eight zeros: the end of the entry.
    let copy = entry.copy_statement.as_ref().unwrap().as_bytes();
    let from = archive
        .windows(copy.len())
        .position(|bytes| bytes == copy)
        .unwrap();
    let flag = [1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let at = from + archive[from..].windows(14).position(|b| b == flag).unwrap() + 5;
    let mut damaged = archive.clone();
    damaged[at] = 3;
    let (_, result) = read([&damaged[..]]);
    let what = "the flag for data contradicts the data offset";
    assert!(matches!(&result, Err(ArchiveError::Corrupt { what: found, .. }) if *found == what));
}

#[test]
fn an_unknown_version_is_known_from_the_version_bytes_alone() {
    for (minor, supported) in [(11, false), (12, true), (16, true), (17, false)] {
        let mut parser = Parser::new();
        parser
            .push(&[b'P', b'G', b'D', b'M', b'P', 1, minor], &mut |_| {})
            .unwrap();
        let result = parser.push(&[0], &mut |_| {});
        let found = ArchiveVersion {
            major: 1,
            minor,
            revision: 0,
        };
        if supported {
            assert_eq!(result, Ok(()));
        } else {
            assert_eq!(result, Err(ArchiveError::UnsupportedVersion { found }));
            assert!(parser.finish().unwrap_err().is_unread());
        }
    }
    let error = ArchiveError::UnsupportedVersion {
        found: ArchiveVersion {
            major: 1,
            minor: 17,
            revision: 0,
        },
    };
    assert_eq!(
        error.to_string(),
        "archive version 1.17 is not supported (supported are 1.12 to 1.16)"
    );
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    for other in [
        &b"--\n-- PostgreSQL database dump\n"[..],
        b"P",
        b"PGDMX",
        b"x",
    ] {
        let (_, result) = read([other]);
        if b"PGDMP".starts_with(other) {
            let truncated = ArchiveError::Truncated {
                offset: 1,
                awaited: Awaited::Header,
            };
            assert_eq!(result, Err(truncated));
        } else {
            assert_eq!(result, Err(ArchiveError::NotAnArchive));
        }
    }
    let truncated = ArchiveError::Truncated {
        offset: 0,
        awaited: Awaited::Header,
    };
    assert_eq!(read([]).1, Err(truncated));
    // The table of contents of a directory or tar archive: format 3.
    let mut tar = golden("pg16-pipe-gzip");
    tar[10] = 3;
    assert_eq!(
        read([&tar[..]]).1,
        Err(ArchiveError::UnsupportedFormat { found: 3 })
    );
}

#[test]
fn limits_on_the_table_of_contents_hold() {
    let archive = golden("pg16-pipe-gzip");
    for (limits, bound) in [
        (Limits::default().with_max_string_bytes(100), Bound::String),
        (Limits::default().with_max_toc_bytes(20_000), Bound::Toc),
        (Limits::default().with_max_toc_bytes(10), Bound::Toc),
    ] {
        let mut results = Vec::new();
        for size in [1, 7, archive.len()] {
            let mut parser = Parser::with_limits(limits);
            let result = archive
                .chunks(size)
                .try_for_each(|piece| parser.push(piece, &mut |_| {}));
            results.push(result);
        }
        let Err(ArchiveError::TooLarge { bound: found, .. }) = &results[0] else {
            panic!("{results:?}");
        };
        assert_eq!(*found, bound);
        assert!(
            results.iter().all(|result| *result == results[0]),
            "{results:?}"
        );
    }
}

//! Headers and tables of contents written from their typed forms.

use crate::support::{golden, goldens, head, read};
use pgdump_archive::{ArchiveVersion, Compression, DataOffset, EncodeError, Toc, encode};

#[test]
fn a_typed_table_of_contents_written_again_is_the_same_bytes() {
    for (name, archive) in goldens() {
        let (header, toc, end) = head(&archive);
        assert!(encode(&header, &toc).unwrap() == archive[..end], "{name}");
    }
}

#[test]
fn archives_of_every_version_are_read_alike() {
    for name in ["pg14-pipe-gzip", "pg18-pipe-gzip"] {
        let archive = golden(name);
        let (mut header, toc, end) = head(&archive);
        for minor in 12..=16 {
            header.version.minor = minor;
            let mut other = encode(&header, &toc).unwrap();
            let first = other.len();
            other.extend_from_slice(&archive[end..]);
            let (found_header, found, blocks_at) = head(&other);
            assert_eq!((found_header.version.minor, blocks_at), (minor, first));
            assert_eq!(found.entries().len(), toc.entries().len());
            let bare = |toc: &Toc| -> Vec<_> {
                let mut entries = toc.entries().to_vec();
                for entry in &mut entries {
                    entry.access_method = None;
                    entry.relkind = None;
                }
                entries
            };
            assert_eq!(bare(&found), bare(&toc), "{name} as 1.{minor}");
            assert!(read([&other[..]]).1.is_ok(), "{name} as 1.{minor}");
        }
    }
}

#[test]
fn offsets_are_set_and_taken_back_without_a_change_of_length() {
    for (name, archive) in goldens() {
        let (header, toc, end) = head(&archive);
        let set =
            toc.with_offsets(|dump_id| Some(1 << 20 | u64::from(dump_id.get().unsigned_abs())));
        let bytes = encode(&header, &set).unwrap();
        assert_eq!(bytes.len(), end, "{name}");
        let mut whole = bytes.clone();
        whole.extend_from_slice(&[1; 6]);
        assert_eq!(head(&whole).1, set, "{name}");
        let unset = set.with_offsets(|_| None);
        assert!(
            unset
                .data_entries()
                .all(|e| e.data_offset == DataOffset::Unknown)
        );
        assert_eq!(encode(&header, &unset).unwrap().len(), end, "{name}");
        if name.contains("-pipe-") {
            assert_eq!(unset, toc, "{name}");
        }
    }
}

#[test]
fn an_offset_that_does_not_fit_is_refused() {
    let (mut header, toc, _) = head(&golden("pg16-pipe-gzip"));
    header.off_size = 4;
    let fits = toc.with_offsets(|_| Some(u32::MAX.into()));
    let four = encode(&header, &fits).unwrap();
    header.off_size = 8;
    let saved = 4 * toc.entries().len();
    assert_eq!(encode(&header, &fits).unwrap().len(), four.len() + saved);
    header.off_size = 4;
    let large = toc.with_offsets(|_| Some(1 << 32));
    assert!(
        matches!(encode(&header, &large), Err(EncodeError::Offset { offset, .. }) if offset == 1 << 32)
    );
}

#[test]
fn a_layout_that_no_pg_dump_writes_is_refused() {
    let (header, toc, _) = head(&golden("pg16-pipe-gzip"));
    let refused = |change: fn(&mut pgdump_archive::Header)| {
        let mut header = header.clone();
        change(&mut header);
        matches!(encode(&header, &toc), Err(EncodeError::Layout { .. }))
    };
    assert!(refused(|header| header.int_size = 8));
    assert!(refused(|header| header.off_size = 9));
    assert!(refused(|header| header.version.minor = 17));
}

#[test]
fn a_1_14_archive_is_raised_for_zstd_only_where_that_is_asked_for() {
    let (old, toc, _) = head(&golden("pg15-file-none"));
    let gzip = old
        .with_compression(Compression::Gzip, Some(6), true)
        .unwrap();
    assert_eq!(
        (gzip.version, gzip.compression_level),
        (old.version, Some(6))
    );
    let none = gzip
        .with_compression(Compression::None, Some(6), false)
        .unwrap();
    assert_eq!(none, old);
    for compression in [Compression::Zstd, Compression::Lz4] {
        let refused = old.with_compression(compression, Some(1), false);
        assert!(matches!(refused, Err(EncodeError::Compression { .. })));
        let raised = old.with_compression(compression, Some(1), true).unwrap();
        assert_eq!(
            raised.version,
            ArchiveVersion {
                major: 1,
                minor: 15,
                revision: 0
            }
        );
        let bytes = encode(&raised, &toc).unwrap();
        // An algorithm byte in place of an integer.
        assert_eq!(bytes.len(), encode(&old, &toc).unwrap().len() - 4);
        assert_eq!(head(&[&bytes[..], &[1]].concat()).0, raised);

        let mut lie = old.clone();
        lie.compression = compression;
        assert!(matches!(
            encode(&lie, &toc),
            Err(EncodeError::Compression { .. })
        ));
        let mut older = old.clone();
        older.version.minor = 13;
        assert!(older.with_compression(compression, None, true).is_err());
    }
    let (new, _, _) = head(&golden("pg18-file-none"));
    let zstd = new
        .with_compression(Compression::Zstd, Some(1), true)
        .unwrap();
    assert_eq!((zstd.version, zstd.compression_level), (new.version, None));
}

//! The archives that each major's pg_dump wrote.

use crate::support::{Seen, golden, goldens, head, read};
use pgdump_archive::{ArchiveVersion, Compression, DataKind, DataOffset, DumpId, Section};

#[test]
fn every_golden_archive_is_proved_and_its_events_agree_with_its_proof() {
    for (name, archive) in goldens() {
        let (record, proof) = read([&archive[..]]);
        let proof = proof.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(proof.archive_bytes, archive.len() as u64, "{name}");
        let (header, toc, _) = head(&archive);
        assert_eq!(proof.entries, toc.entries().len(), "{name}");

        let of = |wanted: fn(&Seen) -> bool| record.0.iter().filter(|seen| wanted(seen)).count();
        assert_eq!(
            proof.data_blocks,
            of(|seen| matches!(seen, Seen::End(..))),
            "{name}"
        );
        assert_eq!(
            proof.tables,
            of(|seen| matches!(seen, Seen::Start(_, DataKind::Table)))
        );
        assert_eq!(
            proof.large_objects,
            of(|seen| matches!(seen, Seen::ObjectEnd(..))) as u64
        );
        let given: usize = record
            .0
            .iter()
            .map(|seen| if let Seen::Data(b) = seen { b.len() } else { 0 })
            .sum();
        assert_eq!(proof.data_bytes, given as u64, "{name}");

        let minor = match &name[..4] {
            "pg14" | "pg15" => 14,
            "pg16" => 15,
            _ => 16,
        };
        assert_eq!(
            header.version,
            ArchiveVersion {
                major: 1,
                minor,
                revision: 0
            },
            "{name}"
        );
        let compression = match name.rsplit('-').next() {
            Some("none") => Compression::None,
            Some("zstd" | "statistics") => Compression::Zstd,
            Some("lz4") => Compression::Lz4,
            _ => Compression::Gzip,
        };
        assert_eq!(header.compression, compression, "{name}");
        assert_eq!(header.database, "golden");
        assert!(
            header.server_version.to_string().starts_with(&name[2..4]),
            "{name}"
        );
        assert_eq!(header.created.year_since_1900 + 1900, 2026, "{name}");
    }
}

#[test]
fn the_schema_with_one_of_everything_is_read_as_pg_dump_wrote_it() {
    for (name, archive) in goldens() {
        if !(name.ends_with("gzip") || name.ends_with("none")) {
            continue;
        }
        let (_, toc, _) = head(&archive);
        let entry = |description: &str, tag: &str| {
            let found = toc
                .entries()
                .iter()
                .find(|e| e.description == description && e.tag == tag);
            found.unwrap_or_else(|| panic!("{name}: {description} {tag}"))
        };
        let table = entry("TABLE", "orders");
        let data = entry("TABLE DATA", "orders");
        assert_eq!(table.qualified_name(), "shop.orders");
        assert_eq!(
            (table.oid, table.catalog_oid, table.section),
            (data.oid, 1259, Section::PreData)
        );
        assert!(data.is_table_data() && data.owes_data && !table.owes_data);
        assert_eq!(data.dependencies, [table.dump_id]);
        assert_eq!(toc.get(data.dump_id), Some(data));
        let copy = data
            .copy_statement
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(copy.starts_with("COPY shop.orders (id, customer, status, net, valid, note)"));
        assert_eq!(
            entry("TABLE", "other_am").access_method.as_ref().unwrap(),
            &"heap_again"
        );
        let relkind = if name.as_str() < "pg17" {
            None
        } else {
            Some(b'p')
        };
        assert_eq!(entry("TABLE", "events").relkind, relkind, "{name}");
        assert_eq!(
            entry("TABLE DATA", "a \"quoted\" table\nname").qualified_name(),
            "\"Odd.Names\".\"a \"\"quoted\"\" table\nname\""
        );

        // No data: of a partitioned table, a view of either kind, a foreign table, a sequence.
        let with_data: Vec<_> = toc.data_entries().map(|e| e.tag.to_string()).collect();
        for tag in [
            "events",
            "events_2025",
            "totals",
            "totals_later",
            "remote",
            "tickets",
            "paid",
        ] {
            assert!(!with_data.iter().any(|with| with == tag), "{name}: {tag}");
        }
        for tag in [
            "empty",
            "no_columns",
            "scratch",
            "events_2025_0",
            "base",
            "derived",
        ] {
            assert!(with_data.iter().any(|with| with == tag), "{name}: {tag}");
        }
    }
}

#[test]
fn large_objects_come_as_one_stream_each_in_one_block_or_several() {
    for (name, archive) in goldens()
        .iter()
        .filter(|(name, _)| name.ends_with("file-none"))
    {
        let (record, _) = read([&archive[..]]);
        let (mut objects, mut blocks) = (Vec::new(), 0);
        for (at, seen) in record.0.iter().enumerate() {
            match (seen, &record.0[at.saturating_sub(1)]) {
                (Seen::Start(_, DataKind::LargeObjects), _) => blocks += 1,
                (Seen::ObjectEnd(oid, 0), Seen::Object(_)) => objects.push((*oid, Vec::new())),
                (Seen::ObjectEnd(oid, stored), Seen::Data(data)) => {
                    assert_eq!(*stored, data.len() as u64);
                    objects.push((*oid, data.clone()));
                }
                _ => {}
            }
        }
        objects.sort();
        let sizes: Vec<_> = objects
            .iter()
            .map(|(oid, data)| (*oid, data.len()))
            .collect();
        let expected = [
            (100_001, 5),
            (100_002, 0),
            (100_003, 4800),
            (4_000_000_000, 11),
        ];
        assert_eq!(sizes, expected, "{name}");
        assert_eq!(objects[3].1, b"a large oid");
        // From 17 on, one block for each combination of owner and grants.
        assert_eq!(blocks, if name.as_str() < "pg17" { 1 } else { 2 }, "{name}");
    }
}

#[test]
fn uncompressed_table_data_is_copy_text_with_its_end_marker() {
    let (record, _) = read([&golden("pg16-file-none")[..]]);
    let toc = head(&golden("pg16-file-none")).1;
    let data_of = |tag: &str| {
        let entry = toc.data_entries().find(|e| e.tag == tag).unwrap();
        let start = Seen::Start(entry.dump_id.get(), DataKind::Table);
        let at = record.0.iter().position(|seen| *seen == start).unwrap();
        let Seen::Data(bytes) = &record.0[at + 1] else {
            panic!("no data")
        };
        String::from_utf8(bytes.clone()).unwrap()
    };
    assert_eq!(data_of("derived"), "2\ttwo\n\\.\n\n\n");
    assert_eq!(data_of("empty"), "\\.\n\n\n");
    assert_eq!(data_of("orders").lines().count(), 200 + 3);
}

#[test]
fn only_an_archive_that_was_written_to_a_file_has_offsets() {
    for (name, archive) in goldens() {
        let (_, toc, _) = head(&archive);
        let in_file = name.contains("-file-");
        assert!(
            toc.entries().iter().all(|entry| match entry.data_offset {
                DataOffset::NoData => !entry.owes_data,
                DataOffset::Unknown => entry.owes_data && !in_file,
                DataOffset::At(_) => entry.owes_data && in_file,
            }),
            "{name}"
        );
    }
}

#[test]
fn an_archive_without_data_is_whole_when_its_table_of_contents_is() {
    for (name, archive) in goldens()
        .iter()
        .filter(|(name, _)| name.ends_with("schema-only"))
    {
        let (_, toc, end) = head(archive);
        assert_eq!(end, archive.len(), "{name}");
        assert_eq!(toc.data_entries().count(), 0);
        let (_, proof) = read([&archive[..]]);
        assert_eq!(proof.map(|proof| proof.data_blocks), Ok(0));
    }
}

#[test]
fn entries_are_found_by_their_id_only() {
    let (_, toc, _) = head(&golden("pg18-pipe-statistics"));
    for entry in toc.entries() {
        assert_eq!(toc.get(entry.dump_id), Some(entry));
    }
    assert_eq!(toc.get(DumpId::new(i32::MAX).unwrap()), None);
    let statistics = toc
        .entries()
        .iter()
        .filter(|e| e.description == "STATISTICS DATA")
        .count();
    assert!(statistics > 0);
}

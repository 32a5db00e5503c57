use super::*;

use crate::code::Code;

fn decided(
    compression: Compression,
    compressor: Option<Compressor>,
    program: (u32, bool),
    server_major: u32,
) -> Result<(Compression, Compressor), Fault> {
    let program = Program::for_test(program.0, program.1);
    decide(compression, compressor, &program, server_major)
}

#[test]
fn auto_is_zstd_where_the_servers_own_pg_restore_and_the_one_of_this_host_read_it() {
    let by_pg_dump = Some(Compressor::PgDump);
    for (server, program, compressor, expected) in [
        (18, (18, true), None, Compression::Zstd(1)),
        (16, (16, false), None, Compression::Gzip(6)),
        (16, (16, true), by_pg_dump, Compression::Zstd(1)),
        (16, (16, false), by_pg_dump, Compression::Gzip(6)),
        (15, (15, false), None, Compression::Gzip(6)),
        (15, (18, true), None, Compression::Gzip(6)),
    ] {
        let (found, _) = decided(Compression::Auto, compressor, program, server).unwrap();
        assert_eq!(
            found, expected,
            "server {server}, {program:?}, {compressor:?}"
        );
    }
}

#[test]
fn zstd_by_a_program_that_lacks_it_is_refused_and_the_reason_reported() {
    for (major, why) in [(14, "needs pg_dump 16"), (16, "built without zstd")] {
        let asked = Compression::Zstd(3);
        let fault = decided(asked, Some(Compressor::PgDump), (major, false), 14).unwrap_err();
        assert_eq!(fault.code(), Code::CompressionUnsupported);
        assert!(!fault.is_transient());
        assert!(fault.to_string().contains(why), "{fault}");
        let ours = decided(asked, None, (major, false), 14).unwrap();
        assert_eq!(ours, (asked, Compressor::Pgdumpd));
    }
}

#[test]
fn what_is_asked_for_explicitly_stays() {
    for compression in [
        Compression::None,
        Compression::Gzip(9),
        Compression::Zstd(19),
    ] {
        for compressor in [Compressor::PgDump, Compressor::Pgdumpd] {
            let found = decided(compression, Some(compressor), (18, true), 14).unwrap();
            assert_eq!(found, (compression, compressor));
        }
    }
}

#[test]
fn gzip_and_none_are_written_so_that_every_version_understands() {
    let by_pg_dump = |compression| compress_argument(Compressor::PgDump, compression);
    assert_eq!(by_pg_dump(Compression::None), "0");
    assert_eq!(by_pg_dump(Compression::Gzip(6)), "6");
    assert_eq!(by_pg_dump(Compression::Zstd(1)), "zstd:1");
    assert_eq!(
        compress_argument(Compressor::Pgdumpd, Compression::Zstd(1)),
        "0"
    );
}

#[test]
fn an_empty_pattern_and_a_null_byte_are_refused_by_key() {
    for (spec, key) in [
        (
            BackupSpec {
                exclude_tables: vec![String::new()],
                ..BackupSpec::default()
            },
            "exclude_table",
        ),
        (
            BackupSpec {
                schemas: vec!["a\0b".to_owned()],
                ..BackupSpec::default()
            },
            "schema",
        ),
    ] {
        let fault = check_patterns(&spec).unwrap_err();
        assert_eq!(fault.code(), Code::SpecInvalid);
        assert!(fault.to_string().ends_with(key), "{fault}");
    }
}

use super::*;

#[test]
fn auto_is_zstd_only_where_server_and_program_both_have_it() {
    for (server, program, zstd, expected) in [
        (18, 18, true, Compression::Zstd(1)),
        (16, 16, true, Compression::Zstd(1)),
        (16, 16, false, Compression::Gzip(6)),
        (15, 15, false, Compression::Gzip(6)),
        (15, 18, true, Compression::Gzip(6)),
    ] {
        let program = Program::for_test(program, zstd);
        let resolved = Compression::Auto.resolve(&program, server).unwrap();
        assert_eq!(resolved, expected, "server {server}, {program:?}");
    }
}

#[test]
fn zstd_is_refused_where_the_program_lacks_it_and_the_reason_told() {
    for (major, why) in [(14, "needs pg_dump 16"), (16, "built without zstd")] {
        let program = Program::for_test(major, false);
        let fault = Compression::Zstd(3).resolve(&program, 14).unwrap_err();
        assert_eq!(fault.code(), "compression_unsupported");
        assert!(!fault.is_transient());
        assert!(fault.to_string().contains(why), "{fault}");
    }
}

#[test]
fn what_is_asked_for_explicitly_stays() {
    let program = Program::for_test(18, true);
    for asked in [
        Compression::None,
        Compression::Gzip(9),
        Compression::Zstd(19),
    ] {
        assert_eq!(asked.resolve(&program, 14).unwrap(), asked);
    }
}

#[test]
fn gzip_and_none_are_written_so_that_every_version_understands() {
    assert_eq!(compress_argument(Compression::None), "0");
    assert_eq!(compress_argument(Compression::Gzip(6)), "6");
    assert_eq!(compress_argument(Compression::Zstd(1)), "zstd:1");
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
        assert_eq!(fault.code(), "spec_invalid");
        assert!(fault.to_string().ends_with(key), "{fault}");
    }
}

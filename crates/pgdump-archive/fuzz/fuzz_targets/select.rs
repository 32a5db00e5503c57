//! Small archives of any table of any table of contents: no panic, memory in proportion, and a head
//! that can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgdump_archive::{Parser, TableName, encode};
use pgdump_archive_fuzz::within;

/// Lists of neighbours, and a copy of what is kept.
const FACTOR: usize = 48;
const MAX_TABLES: usize = 20;

fuzz_target!(|input: &[u8]| {
    let mut parser = Parser::new();
    let _ = parser.push(input, &mut |_| {});
    let (Some(header), Some(toc)) = (parser.header(), parser.toc()) else {
        return;
    };
    let names = toc.entries().iter().filter_map(|entry| {
        let (schema, name) = (entry.schema.as_ref()?, &entry.tag);
        Some(TableName::new(schema.as_str()?, name.as_str()?))
    });
    for name in names.take(MAX_TABLES) {
        let Ok(selection) = within(input, FACTOR, || toc.select(&[name])) else {
            continue;
        };
        assert!(!selection.tables.is_empty());
        assert!(
            selection
                .toc
                .entries()
                .iter()
                .all(|entry| toc.get(entry.dump_id).is_some())
        );
        let head = encode(header, &selection.toc).expect("what was read can be written");
        let mut again = Parser::new();
        again
            .push(&head, &mut |_| {})
            .expect("what was written can be read");
        assert_eq!(again.toc().map(|toc| &**toc), Some(&selection.toc));
    }
});

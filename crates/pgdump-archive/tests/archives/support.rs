//! What the tests share: the golden archives and a record of events.

use std::path::PathBuf;

use pgdump_archive::{ArchiveError, DataKind, Event, Header, Parser, Proof, Toc};

/// The name and the bytes of each golden archive.
pub(crate) fn goldens() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden archives are there")
        .map(|file| file.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "dump"))
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, std::fs::read(path).expect("the archive can be read"))
        })
        .collect();
    found.sort();
    for major in 14..=18 {
        assert!(
            found
                .iter()
                .any(|(name, _)| name.starts_with(&format!("pg{major}-"))),
            "{major}"
        );
    }
    found
}

/// One golden archive.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let mut all = goldens();
    let at = all
        .iter()
        .position(|(found, _)| found == name)
        .expect("such a golden archive");
    all.swap_remove(at).1
}

/// An event that owns what it holds; adjacent data is one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Header(Header),
    Toc(Toc),
    Start(i32, DataKind),
    Object(u32),
    Data(Vec<u8>),
    ObjectEnd(u32, u64),
    End(i32, u64),
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Record(pub(crate) Vec<Seen>);

impl Record {
    pub(crate) fn add(&mut self, event: Event<'_>) {
        let seen = match event {
            Event::Header(header) => Seen::Header(header.clone()),
            Event::Toc(toc) => Seen::Toc(Toc::clone(toc)),
            Event::DataStart { dump_id, kind } => Seen::Start(dump_id.get(), kind),
            Event::LargeObjectStart { oid } => Seen::Object(oid),
            Event::Data(bytes) => {
                assert!(!bytes.is_empty());
                if let Some(Seen::Data(before)) = self.0.last_mut() {
                    before.extend_from_slice(bytes);
                    return;
                }
                Seen::Data(bytes.to_vec())
            }
            Event::LargeObjectEnd { oid, stored_bytes } => Seen::ObjectEnd(oid, stored_bytes),
            Event::DataEnd {
                dump_id,
                stored_bytes,
            } => Seen::End(dump_id.get(), stored_bytes),
            other => panic!("an event that the tests do not know: {other:?}"),
        };
        self.0.push(seen);
    }
}

/// What an archive gives when it comes in these pieces.
pub(crate) fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Record, Result<Proof, ArchiveError>) {
    let (mut parser, mut record) = (Parser::new(), Record::default());
    for piece in pieces {
        if let Err(error) = parser.push(piece, &mut |event| record.add(event)) {
            assert_eq!(
                parser.push(b"more", &mut |_| panic!("an event")),
                Err(error.clone())
            );
            assert_eq!(parser.finish(), Err(error.clone()));
            return (record, Err(error));
        }
    }
    (record, parser.finish())
}

/// The header and table of contents of an archive, and the offset at which its blocks begin.
pub(crate) fn head(archive: &[u8]) -> (Header, Toc, usize) {
    let mut parser = Parser::new();
    for (at, byte) in archive.iter().enumerate() {
        parser
            .push(std::slice::from_ref(byte), &mut |_| {})
            .expect("a good archive");
        if let Some(toc) = parser.toc() {
            return (
                parser.header().expect("a header").clone(),
                Toc::clone(toc),
                at + 1,
            );
        }
    }
    panic!("there is no table of contents");
}

/// The ranges of an archive's data blocks.
pub(crate) fn blocks(archive: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (_, _, first) = head(archive);
    let mut parser = Parser::new();
    let (mut begin, mut found) = (first, Vec::new());
    for (at, byte) in archive.iter().enumerate() {
        let mut ended = false;
        parser
            .push(std::slice::from_ref(byte), &mut |event| {
                ended = matches!(event, Event::DataEnd { .. });
            })
            .expect("a good archive");
        if ended {
            found.push(begin..at + 1);
            begin = at + 1;
        }
    }
    found
}

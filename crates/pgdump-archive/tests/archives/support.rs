//! What the tests share: the golden archives, a record of events, and an encoder that writes a
//! header and a table of contents again from their typed forms.

use std::path::PathBuf;

use pgdump_archive::{
    ArchiveError, ArchiveVersion, Compression, DataKind, DataOffset, Event, Header, Parser, Proof,
    Section, Text, Toc,
};

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

pub(crate) fn int(out: &mut Vec<u8>, value: i64) {
    out.push(u8::from(value < 0));
    let magnitude = u32::try_from(value.unsigned_abs()).expect("32 bits");
    out.extend_from_slice(&magnitude.to_le_bytes());
}

pub(crate) fn string(out: &mut Vec<u8>, value: Option<&[u8]>) {
    int(
        out,
        value.map_or(-1, |bytes| {
            i64::try_from(bytes.len()).expect("a short string")
        }),
    );
    out.extend_from_slice(value.unwrap_or_default());
}

/// Writes a header and a table of contents, in the layout of `header.version`.
pub(crate) fn encode(header: &Header, toc: &Toc) -> Vec<u8> {
    let ArchiveVersion {
        major,
        minor,
        revision,
    } = header.version;
    let mut out = b"PGDMP".to_vec();
    out.extend([major, minor, revision, header.int_size, header.off_size, 1]);
    if minor >= 15 {
        out.push(match header.compression {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Lz4 => 2,
            Compression::Zstd => 3,
            other => panic!("a compression that the tests do not know: {other}"),
        });
    } else {
        int(&mut out, header.compression_level.unwrap_or(-1).into());
    }
    let at = header.created;
    let time = [
        at.second,
        at.minute,
        at.hour,
        at.day,
        at.month0,
        at.year_since_1900,
        at.is_dst,
    ];
    time.into_iter().for_each(|part| int(&mut out, part.into()));
    for text in [
        &header.database,
        &header.server_version,
        &header.dump_version,
    ] {
        string(&mut out, Some(text.as_bytes()));
    }
    int(
        &mut out,
        i64::try_from(toc.entries().len()).expect("few entries"),
    );
    for entry in toc.entries() {
        let optional = |out: &mut Vec<u8>, text: &Option<Text>| {
            string(out, text.as_ref().map(Text::as_bytes));
        };
        int(&mut out, entry.dump_id.get().into());
        int(&mut out, entry.owes_data.into());
        string(&mut out, Some(entry.catalog_oid.to_string().as_bytes()));
        string(&mut out, Some(entry.oid.to_string().as_bytes()));
        string(&mut out, Some(entry.tag.as_bytes()));
        string(&mut out, Some(entry.description.as_bytes()));
        let section = match entry.section {
            Section::None => 1,
            Section::PreData => 2,
            Section::Data => 3,
            Section::PostData => 4,
        };
        int(&mut out, section);
        optional(&mut out, &entry.definition);
        optional(&mut out, &entry.drop_statement);
        optional(&mut out, &entry.copy_statement);
        optional(&mut out, &entry.schema);
        optional(&mut out, &entry.tablespace);
        if minor >= 14 {
            optional(&mut out, &entry.access_method);
        }
        if minor >= 16 {
            int(&mut out, entry.relkind.unwrap_or(0).into());
        }
        optional(&mut out, &entry.owner);
        string(
            &mut out,
            Some(if entry.with_oids { b"true" } else { b"false" }),
        );
        for dependency in &entry.dependencies {
            string(&mut out, Some(dependency.to_string().as_bytes()));
        }
        string(&mut out, None);
        let (flag, offset) = match entry.data_offset {
            DataOffset::Unknown => (1, 0),
            DataOffset::At(offset) => (2, offset),
            DataOffset::NoData => (3, 0),
        };
        out.push(flag);
        out.extend_from_slice(&offset.to_le_bytes()[..usize::from(header.off_size)]);
    }
    out
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

//! What the tests share: the golden archives, larger ones, and a record of events.

use std::path::PathBuf;

use pgdump_archive::{
    ArchiveError, Assembler, DataKind, Event, Header, Index, Packer, Parser, Proof, Recompression,
    Recompressor, Toc, TocEntry, encode,
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
                ..
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

/// An archive as a golden one, without compression, with much more data: many rows of many sizes in
/// the first table, and a large, a small and an incompressible large object each many times over.
pub(crate) fn large(name: &str) -> Vec<u8> {
    let archive = golden(name);
    let (header, toc, _) = head(&archive);
    let mut out = encode(&header, &toc.with_offsets(|_| None)).expect("a golden head");
    let mut random = 1_u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        random >> 33
    };
    let int = |value: usize| {
        let bytes = u32::try_from(value).expect("small").to_le_bytes();
        [0, bytes[0], bytes[1], bytes[2], bytes[3]]
    };
    let columns = toc.data_entries().find_map(TocEntry::copy_columns);
    let mut is_first = true;
    for range in blocks(&archive) {
        let block = &archive[range];
        // The type, the dump id.
        out.extend_from_slice(&block[..6]);
        if block[0] == 1 && is_first {
            is_first = false;
            for row in 0..40_000 {
                let width = usize::try_from(next() % 200).expect("small");
                let mut fields = vec![row.to_string()];
                fields.resize(
                    usize::try_from(columns.unwrap_or(1)).expect("small"),
                    String::new(),
                );
                let last = fields.last_mut().expect("a column");
                *last = format!("{last} {:x} {}", next(), "wide ".repeat(width / 5));
                let text = fields.join("\t") + "\n";
                out.extend(int(text.len()));
                out.extend_from_slice(text.as_bytes());
            }
        }
        if block[0] == 3 {
            for oid in 0..600_usize {
                let bytes = match oid {
                    0 => 3 << 20,
                    1 => 1 << 20,
                    _ => oid % 50,
                };
                let content: Vec<_> = (0..bytes).map(|_| next().to_le_bytes()[1]).collect();
                out.extend(int(200_000_000 + oid));
                for chunk in content.chunks(16 << 10) {
                    out.extend(int(chunk.len()));
                    out.extend_from_slice(chunk);
                }
                out.extend(int(0));
            }
        }
        out.extend_from_slice(&block[6..]);
    }
    out
}

/// The archive compressed anew (raised where the codec needs it), its proof and its index.
pub(crate) fn recompress(source: &[u8], codec: &str) -> (Vec<u8>, Proof, Index) {
    recompress_in([source], codec)
}

/// The same for an archive that comes in these pieces.
pub(crate) fn recompress_in<'a>(
    source: impl IntoIterator<Item = &'a [u8]>,
    codec: &str,
) -> (Vec<u8>, Proof, Index) {
    let codec = codec.parse().expect("a codec");
    let mut recompressor = Recompressor::new(Recompression::new(codec).with_raise_version(true));
    let mut packer = Packer::new(codec).expect("a packer");
    let (mut assembler, mut out) = (Assembler::new(), Vec::new());
    let mut write = |piece: pgdump_archive::Piece| {
        let packed = piece.pack(&mut packer).expect("it can be packed");
        out.extend(assembler.push(packed).expect("the piece that is due"));
    };
    for bytes in source {
        recompressor
            .push(bytes, &mut |_| {})
            .expect("a good archive");
        while let Some(piece) = recompressor.take_piece() {
            write(piece);
        }
    }
    let (last, source) = recompressor.finish().expect("a whole archive");
    last.into_iter().for_each(&mut write);
    let (proof, index) = assembler.finish(source).expect("all pieces");
    (out, proof, index)
}

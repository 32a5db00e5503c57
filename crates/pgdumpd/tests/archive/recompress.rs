//! Dumps, compresses anew, restores.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pgdump_archive::{
    Assembler, Compression, Index, IndexingParser, Limits, Packer, Recompression, Recompressor,
    fill_offsets,
};
use pgdumpd_testkit::{Cluster, Database};

pub(crate) const SCHEMA: &str = include_str!("../../../pgdump-archive/tests/golden/schema.sql");

/// A program of a cluster, connected to a database of it.
fn command(cluster: &Cluster, tool: &str, db: &Database) -> Command {
    let mut command = Command::new(cluster.bin(tool));
    command
        .env("PGHOST", cluster.socket_dir())
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", "postgres")
        .args(["-d", db.name()]);
    command
}

pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

pub(crate) fn dump(cluster: &Cluster, db: &Database, arguments: &[&str]) -> Vec<u8> {
    let mut command = command(cluster, "pg_dump", db);
    run(command.arg("-Fc").args(arguments)).stdout
}

/// A plain dump, without the key that newer ones guard their scripts with, and with each table's
/// rows sorted: where in a table a row lies depends on how full the server found its pages.
pub(crate) fn plain(cluster: &Cluster, db: &Database) -> String {
    let text = run(&mut command(cluster, "pg_dump", db)).stdout;
    let text = String::from_utf8(text).unwrap();
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.retain(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "));
    let mut rows_from = None;
    for at in 0..lines.len() {
        if let Some(start) = rows_from.filter(|_| lines[at] == "\\.") {
            lines[start..at].sort_unstable();
            rows_from = None;
        } else if lines[at].starts_with("COPY ") && lines[at].ends_with(" FROM stdin;") {
            rows_from = Some(at + 1);
        }
    }
    lines.join("\n")
}

/// The archive compressed anew, raised where the codec needs it, and its index.
pub(crate) fn recompress(source: &[u8], codec: &str) -> (Vec<u8>, Index) {
    let codec = codec.parse().unwrap();
    let mut recompressor = Recompressor::new(Recompression::new(codec).with_raise_version(true));
    let (mut packer, mut assembler) = (Packer::new(codec).unwrap(), Assembler::new());
    let mut out = Vec::new();
    let mut write = |piece: pgdump_archive::Piece| {
        let packed = piece.pack(&mut packer).unwrap();
        out.extend(assembler.push(packed).unwrap());
    };
    for bytes in source.chunks(64 << 10) {
        recompressor.push(bytes, &mut |_| {}).unwrap();
        std::iter::from_fn(|| recompressor.take_piece()).for_each(&mut write);
    }
    let (last, proof) = recompressor.finish().unwrap();
    last.into_iter().for_each(&mut write);
    let (proof, index) = assembler.finish(proof).unwrap();
    assert_eq!(proof.archive_bytes, out.len() as u64);
    (out, index)
}

/// The same archive with data offsets.
pub(crate) fn seekable(archive: &[u8], index: &Index) -> Vec<u8> {
    let (head, blocks) = archive.split_at(usize::try_from(index.head_bytes).unwrap());
    [
        &fill_offsets(head, index, Limits::default()).unwrap(),
        blocks,
    ]
    .concat()
}

pub(crate) fn index(archive: &[u8]) -> (Compression, Index) {
    let mut parser = IndexingParser::new();
    parser.push(archive, &mut |_| {}).unwrap();
    let compression = parser.header().unwrap().compression;
    (compression, parser.finish().unwrap().1)
}

/// A place for archives, which goes with it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, name: &str, archive: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, archive).unwrap();
        path
    }
}

/// Restores into a new database, and gives its plain dump.
pub(crate) async fn restore(cluster: &Cluster, archive: &Path, arguments: &[&str]) -> String {
    let db = cluster.database().await;
    let mut command = command(cluster, "pg_restore", &db);
    run(command.arg("--exit-on-error").args(arguments).arg(archive));
    plain(cluster, &db)
}

pub(crate) fn list(cluster: &Cluster, archive: &Path) -> Vec<String> {
    let output = run(Command::new(cluster.bin("pg_restore"))
        .arg("--list")
        .arg(archive));
    let text = String::from_utf8(output.stdout).unwrap();
    let entries = text.lines().filter(|line| !line.starts_with(';'));
    entries.map(str::to_owned).collect()
}

//! An archive in memory, and small ones made of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use pgdump_archive::{DumpId, Event, Header, Parser, Selection, TableName, Toc, encode};
use pgdumpd_testkit::{Cluster, Database};
use tokio::process::Command;

pub(crate) struct Archive {
    bytes: Vec<u8>,
    header: Header,
    pub(crate) toc: Arc<Toc>,
    /// Where each data block is, with its framing.
    blocks: HashMap<DumpId, Range<usize>>,
}

impl Archive {
    pub(crate) async fn dump(cluster: &Cluster, db: &Database) -> Archive {
        Archive::dump_with(cluster, db, &[]).await
    }

    pub(crate) async fn dump_with(cluster: &Cluster, db: &Database, arguments: &[&str]) -> Archive {
        let mut pg_dump = Command::new(cluster.bin("pg_dump"));
        pg_dump
            .args(["-Fc", "-Z0", "-d", &db.url()])
            .args(arguments);
        let output = pg_dump.output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_dump: {stderr}");
        Archive::read(output.stdout)
    }

    /// Pushed byte by byte, so that each event's place is known.
    fn read(bytes: Vec<u8>) -> Archive {
        let (mut parser, mut blocks, mut begin) = (Parser::new(), HashMap::new(), 0);
        for (at, byte) in bytes.iter().enumerate() {
            let push = parser.push(std::slice::from_ref(byte), &mut |event| match event {
                Event::Toc(_) => begin = at + 1,
                Event::DataEnd { dump_id, .. } => {
                    blocks.insert(dump_id, begin..at + 1);
                    begin = at + 1;
                }
                _ => {}
            });
            push.unwrap();
        }
        let (header, toc) = (
            parser.header().unwrap().clone(),
            Arc::clone(parser.toc().unwrap()),
        );
        parser.finish().unwrap();
        Archive {
            bytes,
            header,
            toc,
            blocks,
        }
    }

    /// Every table that the archive defines.
    pub(crate) fn tables(&self) -> Vec<TableName> {
        let entries = self.toc.entries().iter();
        let tables = entries.filter(|entry| entry.description == "TABLE");
        tables
            .map(|table| {
                let schema = table.schema.as_ref().unwrap();
                TableName::new(schema.to_string(), table.tag.to_string())
            })
            .collect()
    }

    /// The small archive: head and blocks, and nothing else.
    fn small(&self, selection: &Selection) -> Vec<u8> {
        let mut small = encode(&self.header, &selection.toc).unwrap();
        for entry in selection.toc.data_entries() {
            small.extend_from_slice(&self.bytes[self.blocks[&entry.dump_id].clone()]);
        }
        let mut parser = Parser::new();
        parser.push(&small, &mut |_| {}).unwrap();
        parser.finish().unwrap();
        small
    }

    pub(crate) async fn restore(
        &self,
        cluster: &Cluster,
        selection: &Selection,
        target: &Database,
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), self.small(selection)).unwrap();
        let mut pg_restore = Command::new(cluster.bin("pg_restore"));
        pg_restore.args(["--exit-on-error", "-d", &target.url()]);
        let output = pg_restore.arg(file.path()).output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let tables: Vec<_> = selection
            .tables
            .iter()
            .map(|id| self.toc.get(*id))
            .collect();
        assert!(output.status.success(), "{stderr}\n{tables:#?}");
    }
}

//! An archive as somebody loads it into a database: its head, and its blocks one by one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgdump_archive::{
    BlockCheck, BlockDamage, Compression, DumpId, Header, IndexEntry, Toc, encode,
};
use tokio::sync::mpsc;

use super::Stored;
use super::archive_reader::ArchiveReader;
use super::block::{damage_of, read_block};
use super::contents::HeadContents;
use super::tables::head;
use crate::code::Code;
use crate::fault::{Fault, chain};
use crate::off_runtime::answer;

/// Pieces that wait to be decompressed, and rows that wait to be taken.
const WAITING: usize = 4;
/// Rows are given on in pieces of about this size.
const PIECE_BYTES: usize = 256 << 10;

/// A proved archive that is read by its index.
pub struct Source<'a> {
    stored: &'a Stored,
    reader: ArchiveReader<'a>,
    header: Header,
    toc: Arc<Toc>,
    entries: HashMap<DumpId, IndexEntry>,
    compression: Compression,
}

impl<'a> Source<'a> {
    /// Reads header and table of contents.
    ///
    /// # Errors
    /// The storage's; `index_missing`, `archive_damaged`, `manifest_invalid`; `identity_needed` and
    /// `identity_mismatch`.
    pub async fn open(stored: &'a Stored) -> Result<Self, Fault> {
        let reader = ArchiveReader::open(stored).await?;
        let Some(index) = &stored.index else {
            let what = "the backup's manifest does not say where its tables are";
            return Err(Fault::permanent(Code::IndexMissing, what)
                .hint("Fetch the whole backup, and restore the file with pg_restore."));
        };
        let (header, toc) = head(&reader, index).await?;
        let entries = index.entries.iter();
        Ok(Self {
            reader,
            header,
            toc,
            entries: entries
                .map(|entry| (entry.dump_id, entry.clone()))
                .collect(),
            compression: stored.compression()?,
            stored,
        })
    }

    /// In what the manifest differs from the archive's head.
    pub fn differences(&self) -> Vec<String> {
        HeadContents::new(&self.header, &self.toc).differences(&self.stored.manifest)
    }

    /// The archive's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The archive's table of contents.
    pub fn toc(&self) -> &Arc<Toc> {
        &self.toc
    }

    /// Where the data of this entry is.
    pub fn entry(&self, dump_id: DumpId) -> Option<&IndexEntry> {
        self.entries.get(&dump_id)
    }

    /// Header and table of contents of an archive of these entries. Without data its header names no compression, so
    /// that a pg_restore that does not know the archive's can read it.
    ///
    /// # Errors
    /// `internal`.
    pub fn head_of(&self, toc: &Toc, with_data: bool) -> Result<Vec<u8>, Fault> {
        let mut header = self.header.clone();
        if !with_data {
            header.compression = Compression::None;
            header.compression_level = header.compression_level.map(|_| 0);
        }
        // Nobody knows where in a pipe the data is.
        encode(&header, &toc.with_offsets(|_| None)).map_err(|error| {
            Fault::permanent(Code::Internal, "an archive's head cannot be written").caused_by(error)
        })
    }

    /// Reads the block of an entry as it is stored and gives each piece on; what of it is damaged, if anything is.
    ///
    /// # Errors
    /// The storage's, and `keep`'s.
    pub async fn block(
        &self,
        entry: &IndexEntry,
        keep: impl AsyncFnMut(Bytes) -> Result<(), Fault>,
    ) -> Result<Result<(), String>, Fault> {
        read_block(&self.reader, entry, self.compression, keep).await
    }

    /// Reads the rows of a table as COPY takes them, without the end that pg_dump writes, and gives each piece on; what
    /// of them is damaged, if anything is. They are known to be whole only then.
    ///
    /// # Errors
    /// The storage's, and `keep`'s.
    pub async fn rows(
        &self,
        entry: &IndexEntry,
        mut keep: impl AsyncFnMut(Bytes) -> Result<(), Fault>,
    ) -> Result<Result<(), String>, Fault> {
        let Some(range) = entry.range() else {
            return Ok(Err("lies nowhere".to_owned()));
        };
        let check = match BlockCheck::new(entry, self.compression) {
            Ok(check) => check,
            Err(damage) => return Ok(Err(chain(&damage))),
        };
        let (stored, to_decompress) = mpsc::channel(WAITING);
        let (rows, mut to_keep) = mpsc::channel(WAITING);
        let rows = Rows {
            to: rows,
            waiting: BytesMut::new(),
            left: entry.raw_bytes.saturating_sub(BlockCheck::COPY_END_BYTES),
        };
        let thread = tokio::task::spawn_blocking(move || decompress(check, to_decompress, rows));
        let read = async {
            let mut part = self.reader.read(range).await?;
            while let Some(piece) = part.next().await? {
                // The thread has ended where the data is damaged.
                if stored.send(piece).await.is_err() {
                    break;
                }
            }
            drop(stored);
            Ok(())
        };
        let keep = async {
            while let Some(piece) = to_keep.recv().await {
                keep(piece).await?;
            }
            Ok(())
        };
        let read = tokio::try_join!(read, keep);
        // Or the thread would wait for somebody to take its rows.
        drop(to_keep);
        let checked = answer("decompresses rows", thread).await?;
        match read {
            Ok(((), ())) => Ok(checked.map_err(|damage| chain(&damage))),
            Err(fault) => damage_of(fault).map(Err),
        }
    }
}

/// Where rows go, and how many bytes of them there are.
struct Rows {
    to: mpsc::Sender<Bytes>,
    waiting: BytesMut,
    left: u64,
}

impl Rows {
    fn take(&mut self, raw: &[u8]) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let rows = &raw[..raw.len().min(room)];
        self.left -= rows.len() as u64;
        self.waiting.extend_from_slice(rows);
        if self.waiting.len() >= PIECE_BYTES {
            self.give();
        }
    }

    fn give(&mut self) {
        let piece = self.waiting.split().freeze();
        if !piece.is_empty() {
            // Nobody takes them any more where the load has failed; what is read then has no end either.
            let _ = self.to.blocking_send(piece);
        }
    }
}

fn decompress(
    mut check: BlockCheck,
    mut stored: mpsc::Receiver<Bytes>,
    mut rows: Rows,
) -> Result<(), BlockDamage> {
    while let Some(piece) = stored.blocking_recv() {
        check.push_raw(&piece, &mut |raw| rows.take(raw))?;
    }
    rows.give();
    check.finish()
}

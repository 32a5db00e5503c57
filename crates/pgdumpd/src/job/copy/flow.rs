//! Moves an archive from one storage to another, and compares it with its manifest as it passes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pgdump_archive::Index;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::code::Code;
use crate::fault::Fault;
use crate::hex::hex;
use crate::job::publish::Proof;
use crate::off_runtime::off_runtime;
use crate::store::{ByteStream, BytesMoved, Object, Storage, Upload, in_time};

/// Pieces that were read and wait to be stored: so that reading and writing overlap. As many may wait to be
/// hashed, and they are the same.
const PIECES_AHEAD: usize = 4;

/// Proves that an archive was read whole, and had the size and the SHA-256 of its manifest. Only [`Flow::run`] makes
/// one.
#[derive(Debug)]
pub(super) struct Compared {
    size: u64,
    index: Option<Arc<Index>>,
}

impl Proof for Compared {
    fn size(&self) -> u64 {
        self.size
    }

    fn index(&self) -> Option<&Arc<Index>> {
        self.index.as_ref()
    }
}

/// Which side failed.
#[derive(Debug)]
pub(super) enum Broken {
    /// The storage that is read.
    Source(Fault),
    /// The storage that is written.
    Sink(Fault),
}

/// A flow of an archive from a storage.
pub(super) struct Flow<'a> {
    pub(super) source: &'a Storage,
    /// As its manifest says.
    pub(super) archive: &'a Object,
    /// How long each side may give no answer.
    pub(super) limit: Duration,
    /// What moves into the storage that is written: a large part on a slow link takes longer.
    pub(super) moved: BytesMoved,
    /// Receives the bytes that were stored so far.
    pub(super) report: &'a (dyn Fn(u64) + Send + Sync),
}

impl Flow<'_> {
    /// Reads the archive and writes it into an upload, at the timing of the slower side. In memory are a few pieces of
    /// what the source gives at once. May be dropped; the upload can only be aborted then, as after an error.
    /// `index` says where the archive's data is.
    ///
    /// # Errors
    /// Which side failed. A source that gives anything but what its manifest says: a permanent `copy_source_damaged`.
    pub(super) async fn run(
        &self,
        index: Option<&Arc<Index>>,
        upload: &mut Upload,
    ) -> Result<Compared, Broken> {
        let (key, size) = (&self.archive.key, self.archive.size_bytes);
        let pieces = in_time(self.limit, self.source.read_range(key, 0..size));
        let pieces = pieces.await.map_err(Broken::Source)?;
        let (to_store, stored) = mpsc::channel(PIECES_AHEAD);
        let (to_hash, hashed) = mpsc::channel(PIECES_AHEAD);
        let hashing = off_runtime("hashes the copy", move || hash(hashed));
        tokio::try_join!(
            read(pieces, self.limit, to_hash, to_store),
            self.store(stored, upload)
        )?;
        let (size, sha256) = hashing.await.map_err(Broken::Source)?;
        self.compare(size, &sha256).map_err(Broken::Source)?;
        Ok(Compared {
            size,
            index: index.cloned(),
        })
    }

    async fn store(
        &self,
        mut stored: mpsc::Receiver<Bytes>,
        upload: &mut Upload,
    ) -> Result<(), Broken> {
        let mut passed = 0;
        while let Some(piece) = stored.recv().await {
            passed += piece.len() as u64;
            let written = self.moved.in_time(self.limit, upload.write(piece)).await;
            written.map_err(Broken::Sink)?;
            (self.report)(passed);
        }
        Ok(())
    }

    fn compare(&self, size: u64, sha256: &str) -> Result<(), Fault> {
        let expected = self.archive;
        let wrong = if size != expected.size_bytes {
            format!("ends after {size} of {} bytes", expected.size_bytes)
        } else if sha256 != expected.sha256 {
            format!("has the SHA-256 {sha256}, not {}", expected.sha256)
        } else {
            return Ok(());
        };
        let text = format!("{} {wrong}: nothing of it was copied", expected.key);
        Err(Fault::permanent(Code::CopySourceDamaged, text).hint(
            "The stored backup is damaged: `pgdumpd verify ID` shows what is still good. Check its storage, and take a new backup.",
        ))
    }
}

async fn read(
    mut pieces: ByteStream,
    limit: Duration,
    to_hash: mpsc::Sender<Bytes>,
    to_store: mpsc::Sender<Bytes>,
) -> Result<(), Broken> {
    while let Some(piece) = in_time(limit, pieces.next())
        .await
        .map_err(Broken::Source)?
    {
        // A side that is gone says by itself why.
        if to_hash.send(piece.clone()).await.is_err() || to_store.send(piece).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn hash(mut pieces: mpsc::Receiver<Bytes>) -> (u64, String) {
    let (mut size, mut sha256) = (0, Sha256::new());
    while let Some(piece) = pieces.blocking_recv() {
        size += piece.len() as u64;
        sha256.update(&piece);
    }
    (size, hex(&sha256.finalize()))
}

//! Moves the objects of a backup from one storage to another, and compares each with its manifest as it passes.

use std::time::Duration;

use bytes::Bytes;
use pgdump_archive::Index;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::code::Code;
use crate::fault::Fault;
use crate::hex::hex;
use crate::job::publish::Proof;
use crate::store::{ByteStream, BytesMoved, Manifest, Object, ObjectKey, Storage, Upload, in_time};

/// Pieces that were read and wait to be stored: so that reading and writing overlap. As many may wait to be
/// hashed, and they are the same.
const PIECES_AHEAD: usize = 4;

/// One object of a backup, and where its copy goes.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) from: ObjectKey,
    pub(super) to: ObjectKey,
    pub(super) size: u64,
    sha256: String,
}

impl Part {
    /// Everything that the backup consists of beside its manifest, the archive first, to be copied under this lease.
    pub(super) fn all_of(manifest: &Manifest, token: Uuid) -> Vec<Self> {
        let part = |object: &Object| Self {
            from: object.key.clone(),
            to: object.key.with_token(token),
            size: object.size_bytes,
            sha256: object.sha256.clone(),
        };
        manifest.objects().into_iter().map(part).collect()
    }
}

/// Proves that an object was read whole, and had the size and the SHA-256 of its manifest. Only [`Flow::run`] makes
/// one.
#[derive(Debug)]
pub(super) struct ComparedPart {
    size: u64,
}

/// Proves the same of every object of a backup.
#[derive(Debug)]
pub(super) struct Compared {
    sizes: Vec<u64>,
    index: Option<Index>,
}

impl Compared {
    /// Of the proof of each part, in order.
    pub(super) fn all(parts: Vec<ComparedPart>, index: Option<Index>) -> Self {
        let sizes = parts.into_iter().map(|part| part.size).collect();
        Self { sizes, index }
    }
}

/// Of a copy: every object was read whole, and has the size and the SHA-256 of the original's manifest.
impl Proof for Compared {
    fn sizes(&self) -> Vec<u64> {
        self.sizes.clone()
    }

    fn index(&self) -> Option<&Index> {
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

/// A flow of objects from a storage.
pub(super) struct Flow<'a> {
    pub(super) source: &'a Storage,
    /// How long each side may give no answer.
    pub(super) limit: Duration,
    /// What moves into the storage that is written: a large part on a slow link takes longer.
    pub(super) moved: BytesMoved,
    /// Bytes that were stored so far, of all objects.
    pub(super) passed: u64,
    /// Receives each change of that.
    pub(super) report: &'a (dyn Fn(u64) + Send + Sync),
}

impl Flow<'_> {
    /// Reads an object and writes it into an upload, at the timing of the slower side. In memory are a few pieces of
    /// what the source gives at once. May be dropped; the upload can only be aborted then, as after an error.
    ///
    /// # Errors
    /// Which side failed. A source that gives anything but what its manifest says: a permanent `copy_source_damaged`.
    pub(super) async fn run(
        &mut self,
        part: &Part,
        upload: &mut Upload,
    ) -> Result<ComparedPart, Broken> {
        let pieces = in_time(self.limit, self.source.read_range(&part.from, 0..part.size));
        let pieces = pieces.await.map_err(Broken::Source)?;
        let (to_store, stored) = mpsc::channel(PIECES_AHEAD);
        let (to_hash, hashed) = mpsc::channel(PIECES_AHEAD);
        let hashing = tokio::task::spawn_blocking(move || hash(hashed));
        let limit = self.limit;
        tokio::try_join!(
            read(pieces, limit, to_hash, to_store),
            self.store(stored, upload)
        )?;
        let (size, sha256) = hashing.await.map_err(|error| {
            let fault = Fault::transient(Code::Internal, "the thread that hashes the copy ended");
            Broken::Source(fault.caused_by(error))
        })?;
        compare(part, size, &sha256).map_err(Broken::Source)
    }

    async fn store(
        &mut self,
        mut stored: mpsc::Receiver<Bytes>,
        upload: &mut Upload,
    ) -> Result<(), Broken> {
        while let Some(piece) = stored.recv().await {
            let bytes = piece.len() as u64;
            let written = self.moved.in_time(self.limit, upload.write(piece)).await;
            written.map_err(Broken::Sink)?;
            self.passed += bytes;
            (self.report)(self.passed);
        }
        Ok(())
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

fn compare(part: &Part, size: u64, sha256: &str) -> Result<ComparedPart, Fault> {
    let wrong = if size != part.size {
        format!("ends after {size} of {} bytes", part.size)
    } else if sha256 != part.sha256 {
        format!("has the SHA-256 {sha256}, not {}", part.sha256)
    } else {
        return Ok(ComparedPart { size });
    };
    let text = format!("{} {wrong}: nothing of it was copied", part.from);
    Err(Fault::permanent(Code::CopySourceDamaged, text).hint(
        "The stored backup is damaged: `pgdumpd verify ID` shows what is still good. Check its storage, and take a new backup.",
    ))
}

//! Reads a stored backup again and compares it with its manifest.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pgdump_archive::{HeadCheck, Index};
use tokio::sync::mpsc;

use super::archive_reader::{ArchiveReader, Whole};
use super::block::{damage_of, read_block};
use super::name::name_of;
use super::{Damage, Inspection, Stored, Verdict};
use crate::encryption::is_damage;
use crate::fault::{Fault, chain};
use crate::off_runtime::off_runtime;
use crate::store::{ArchiveState, ByteStream};

/// Pieces that wait to be inspected, of 1 MiB at most.
const PIECES: usize = 4;

/// Reads the whole object. Of an encrypted one without an identity it is the stored bytes alone that are compared.
///
/// # Errors
/// The storage's, and `identity_mismatch`: damage is not an error, but part of the verdict.
pub async fn verify(stored: &Stored) -> Result<Verdict, Fault> {
    if stored.is_locked() {
        return read_as_it_lies(stored, async |_| Ok(())).await;
    }
    read_through(stored, async |_| Ok(())).await
}

/// Compares what was read with the manifest, where nothing is damaged.
fn compare(stored: &Stored, archive_bytes: u64, verdict: &mut Verdict) {
    if !stored.matches(verdict) {
        return;
    }
    let manifest = &stored.manifest;
    if let Some(contents) = &verdict.contents {
        verdict.differences = contents.differences(manifest);
    }
    if manifest.archive_bytes() != archive_bytes {
        verdict.differences.push(format!(
            "archive.size_bytes is {} in the manifest, and the archive has {archive_bytes} bytes",
            manifest.archive_bytes()
        ));
    }
}

/// Reads the whole object and passes each piece on, without reading what is inside.
pub(super) async fn read_as_it_lies(
    stored: &Stored,
    keep: impl AsyncFnMut(&Bytes) -> Result<(), Fault>,
) -> Result<Verdict, Fault> {
    let mut source = Source::Stored(object(stored).await?);
    let mut verdict = inspect(Inspection::unread(), &mut source, &stored.bytes_read, keep).await?;
    verdict.unopened = stored.manifest.encryption.is_some();
    Ok(verdict)
}

/// Reads the whole archive, gives each piece on, decrypted, and inspects it on a thread of its own.
pub(super) async fn read_through(
    stored: &Stored,
    keep: impl AsyncFnMut(&Bytes) -> Result<(), Fault>,
) -> Result<Verdict, Fault> {
    let inspection = match (&stored.index, stored.manifest.archive.state) {
        (Some(index), _) => Inspection::indexed(index.clone(), stored.compression()?),
        (None, ArchiveState::Proved) => Inspection::whole(),
        (None, ArchiveState::Unread) => Inspection::unread(),
    };
    let mut source = match stored.needed_identities()? {
        Some(identities) => Source::Decrypted(Whole::begin(stored, &identities).await?),
        None => Source::Stored(object(stored).await?),
    };
    let mut verdict = inspect(inspection, &mut source, &stored.bytes_read, keep).await?;
    let archive_bytes = verdict.size_bytes;
    if let Source::Decrypted(whole) = source {
        let through = whole.end().await?;
        verdict.size_bytes = through.size_bytes;
        verdict.sha256 = through.sha256;
        if let Some(fault) = through.damage {
            // What follows the damage was not read: later chunks may well be intact.
            match &stored.index {
                Some(index) => {
                    let (damaged, good) = judge_blocks(stored, index).await?;
                    verdict.damaged = damaged;
                    verdict.good = Some(good);
                }
                None => verdict.damaged.clear(),
            }
            if verdict.damaged.is_empty() {
                verdict.damaged.push(of_everything(&fault));
            }
        }
    }
    compare(stored, archive_bytes, &mut verdict);
    Ok(verdict)
}

enum Source {
    Stored(ByteStream),
    Decrypted(Whole),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Stored(pieces) => pieces.next().await,
            Self::Decrypted(whole) => Ok(whole.next().await),
        }
    }
}

async fn object(stored: &Stored) -> Result<ByteStream, Fault> {
    let everything = 0..i64::MAX.unsigned_abs();
    let key = &stored.manifest.object.key;
    stored.storage.read_range(key, everything).await
}

async fn inspect(
    inspection: Inspection,
    source: &mut Source,
    bytes_read: &AtomicU64,
    mut keep: impl AsyncFnMut(&Bytes) -> Result<(), Fault>,
) -> Result<Verdict, Fault> {
    let (to_inspect, mut inspect) = mpsc::channel::<Bytes>(PIECES);
    let inspecting = off_runtime("verifies", move || {
        let mut inspection = inspection;
        while let Some(piece) = inspect.blocking_recv() {
            inspection.push(&piece);
        }
        inspection.finish()
    });
    let read = async {
        while let Some(piece) = source.next().await? {
            bytes_read.fetch_add(piece.len() as u64, Ordering::Relaxed);
            keep(&piece).await?;
            // The thread ends only after the last piece.
            let _ = to_inspect.send(piece).await;
        }
        Ok(())
    };
    let read: Result<(), Fault> = read.await;
    drop(to_inspect);
    let verdict = inspecting.await?;
    read.map(|()| verdict)
}

/// Reads head and blocks of an encrypted archive one by one: what is damaged, and how many blocks are not.
async fn judge_blocks(stored: &Stored, index: &Index) -> Result<(Vec<Damage>, usize), Fault> {
    let reader = match ArchiveReader::open(stored).await {
        Ok(reader) => reader,
        Err(fault) if is_damage(&fault) => return Ok((vec![of_everything(&fault)], 0)),
        Err(fault) => return Err(fault),
    };
    let mut damaged: Vec<Damage> = judge_head(&reader, index).await?.into_iter().collect();
    let mut good = 0;
    for entry in &index.entries {
        let read = read_block(&reader, entry, stored.compression()?, async |_| Ok(()));
        match read.await? {
            Ok(()) => good += 1,
            Err(what) => damaged.push(Damage {
                table: Some(name_of(entry)),
                what,
            }),
        }
    }
    Ok((damaged, good))
}

async fn judge_head(reader: &ArchiveReader<'_>, index: &Index) -> Result<Option<Damage>, Fault> {
    let read = async {
        let mut part = reader.read(0..index.head_bytes).await?;
        let mut check = HeadCheck::new(index);
        while let Some(piece) = part.next().await? {
            if let Err(damage) = check.push(&piece) {
                return Ok(Err(damage));
            }
        }
        Ok(check.finish().map(drop))
    };
    let what = match read.await {
        Ok(Ok(())) => return Ok(None),
        Ok(Err(damage)) => chain(&damage),
        Err(fault) => damage_of(fault)?,
    };
    Ok(Some(Damage { table: None, what }))
}

fn of_everything(fault: &Fault) -> Damage {
    Damage {
        table: None,
        what: fault.report(),
    }
}

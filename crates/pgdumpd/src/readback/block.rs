//! One data block of an archive, read by itself and checked against the index.

use bytes::Bytes;
use pgdump_archive::{BlockCheck, Compression, IndexEntry};

use super::archive_reader::ArchiveReader;
use crate::encryption::{is_damage, is_truncation};
use crate::fault::{Fault, chain};
use crate::off_runtime::off_runtime;

/// Reads a block and gives each piece on; what of it is damaged, if anything is.
///
/// # Errors
/// The storage's, and `keep`'s.
pub(super) async fn read_block(
    reader: &ArchiveReader<'_>,
    entry: &IndexEntry,
    compression: Compression,
    mut keep: impl AsyncFnMut(Bytes) -> Result<(), Fault>,
) -> Result<Result<(), String>, Fault> {
    let Some(range) = entry.range() else {
        return Ok(Err("lies nowhere".to_owned()));
    };
    let mut check = match BlockCheck::new(entry, compression) {
        Ok(check) => check,
        Err(damage) => return Ok(Err(chain(&damage))),
    };
    let mut part = match reader.read(range).await {
        Ok(part) => part,
        Err(fault) => return as_damage(fault),
    };
    loop {
        let piece = match part.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(check.finish().map_err(|damage| chain(&damage))),
            Err(fault) => return as_damage(fault),
        };
        check = match checked(check, piece.clone()).await? {
            Ok(check) => check,
            Err(damage) => return Ok(Err(damage)),
        };
        keep(piece).await?;
    }
}

/// A damaged encrypted object is a result, not an error of the reader.
fn as_damage(fault: Fault) -> Result<Result<(), String>, Fault> {
    damage_of(fault).map(Err)
}

/// What a part of an encrypted object is that gave this fault, in words that continue the part's name.
///
/// # Errors
/// The fault itself, if it is not about damage.
pub(super) fn damage_of(fault: Fault) -> Result<String, Fault> {
    if !is_damage(&fault) {
        Err(fault)
    } else if is_truncation(&fault) {
        Ok("is cut off".to_owned())
    } else {
        Ok("cannot be decrypted: the stored bytes have changed".to_owned())
    }
}

/// Decompressing is work for a thread of its own.
async fn checked(mut check: BlockCheck, piece: Bytes) -> Result<Result<BlockCheck, String>, Fault> {
    let work = move || match check.push(&piece) {
        Ok(()) => Ok(check),
        Err(damage) => Err(chain(&damage)),
    };
    off_runtime("verifies", work).await
}

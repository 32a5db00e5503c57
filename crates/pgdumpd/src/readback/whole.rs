//! Brings a backup back as a local file, with its data offsets filled in.

use pgdump_archive::{FillOffsetsError, Limits, fill_offsets};

use super::output::{Destination, Output};
use super::verify::{read_as_it_lies, read_through};
use super::{Stored, Verdict};
use crate::code::Code;
use crate::fault::{Fault, chain};

/// What a whole backup was found to be on the way.
#[derive(Debug)]
pub struct FetchedWhole {
    /// What was found; of what does not match its manifest, there is no file.
    pub verdict: Verdict,
    /// Why the file does not say where each table's data is, if it does not.
    pub unfilled: Option<String>,
}

/// Writes the stored object to a new file as it is stored, encrypted if it is; of one that does not have its manifest's
/// SHA-256, no file is left.
///
/// # Errors
/// The storage's; `file_exists` and `file_failed`.
pub async fn fetch_as_it_lies(
    stored: &Stored,
    to: impl Into<Destination<'_>>,
) -> Result<Verdict, Fault> {
    let file = Output::create(to.into()).await?;
    let mut at = 0;
    let verdict = read_as_it_lies(stored, async |piece| {
        file.write(piece.clone(), at).await?;
        at += piece.len() as u64;
        Ok(())
    })
    .await?;
    if stored.matches(&verdict) {
        file.keep().await?;
    }
    Ok(verdict)
}

/// Writes the backup to a new file, or to a pipe, decrypted and verified on the way; of what does not match its manifest, no file is
/// left.
///
/// With the offsets filled in, which only a file can have, `pg_restore -j` finds each table without a scan; so the file's SHA-256 is not the
/// stored object's. An archive in which they have no room is kept as it is: it restores, too.
///
/// # Errors
/// The storage's; `file_exists` and `file_failed`; `identity_needed` and `identity_mismatch`.
pub async fn fetch_whole(
    stored: &Stored,
    to: impl Into<Destination<'_>>,
) -> Result<FetchedWhole, Fault> {
    stored.needed_identities()?;
    let file = Output::create(to.into()).await?;
    let mut at = 0;
    let verdict = read_through(stored, async |piece| {
        file.write(piece.clone(), at).await?;
        at += piece.len() as u64;
        Ok(())
    })
    .await?;
    let mut unfilled = None;
    if !stored.matches(&verdict) {
        return Ok(FetchedWhole { verdict, unfilled });
    }
    if let (Some(index), Some(file)) = (&stored.index, file.file()) {
        // No longer than a table of contents may be: the verdict says that it ends there.
        let length = usize::try_from(index.head_bytes).unwrap_or(usize::MAX);
        let head = file.read_start(length).await?;
        match fill_offsets(&head, index, Limits::default()) {
            Ok(filled) => file.write(filled.into(), 0).await?,
            Err(error @ (FillOffsetsError::OtherLength | FillOffsetsError::Encode(_))) => {
                unfilled = Some(chain(&error));
            }
            Err(error) => {
                let what = "the data offsets cannot be filled in";
                return Err(Fault::permanent(Code::ArchiveDamaged, what).caused_by(error));
            }
        }
    }
    file.keep().await?;
    Ok(FetchedWhole { verdict, unfilled })
}

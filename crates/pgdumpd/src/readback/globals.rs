//! A backup's roles and tablespaces, read again, and brought back as a local file.

use super::Stored;
use super::output::{Destination, Output};
use crate::fault::Fault;

/// Reads them, as they are stored in the storage where they are encrypted and no identity was given; `None` if the
/// backup has none.
///
/// # Errors
/// `globals_damaged` where they are not what the manifest says; `identity_mismatch`; the storage's.
pub async fn read_globals(stored: &Stored) -> Result<Option<Vec<u8>>, Fault> {
    let read = stored.storage.read_globals(&stored.manifest).await?;
    let (Some(text), Some(identities)) = (&read, &stored.identities) else {
        return Ok(read);
    };
    let what = stored.manifest.object.key.globals();
    identities.decrypt(&what, text).map(Some)
}

/// Writes them to a new file, decrypted, and returns their size in bytes; `None` if the backup has none.
///
/// # Errors
/// As [`read_globals`]; `identity_needed`; `file_exists` and `file_failed`.
pub async fn fetch_globals(
    stored: &Stored,
    to: impl Into<Destination<'_>>,
) -> Result<Option<u64>, Fault> {
    if stored.manifest.globals.is_none() {
        return Ok(None);
    }
    stored.needed_identities()?;
    let Some(text) = read_globals(stored).await? else {
        return Ok(None);
    };
    let size = text.len() as u64;
    let file = Output::create(to.into()).await?;
    file.write(text.into(), 0).await?;
    file.keep().await?;
    Ok(Some(size))
}

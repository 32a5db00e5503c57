//! Brings a backup's roles and tablespaces back as a local file.

use std::path::Path;

use super::Stored;
use super::new_file::NewFile;
use crate::fault::Fault;

/// Writes them to a new file, and gives their size in bytes; none where the backup has none.
///
/// # Errors
/// `globals_damaged` where they are not what the manifest says; the storage's; `file_exists` and `file_failed`.
pub async fn fetch_globals(stored: &Stored, to: &Path) -> Result<Option<u64>, Fault> {
    let Some(text) = stored.storage.read_globals(&stored.manifest).await? else {
        return Ok(None);
    };
    let size = text.len() as u64;
    let file = NewFile::create(to).await?;
    file.write(text.into(), 0).await?;
    file.keep().await?;
    Ok(Some(size))
}

//! The roles and tablespaces beside an archive: a small object, written before the manifest that speaks of it.

use sha2::{Digest as _, Sha256};

use super::manifest::Globals;
use super::small::Small;
use super::{Manifest, ObjectKey, Storage};
use crate::code::Code;
use crate::fault::Fault;
use crate::hex::hex;

/// No globals are larger, whatever a manifest says: 64 MiB are the most that are dumped, and encrypted they grow a
/// little.
const LARGEST: u64 = 65 << 20;

impl Globals {
    /// What a manifest says of these, beside the archive under `key`.
    pub fn of(key: &ObjectKey, text: &[u8], passwords: bool) -> Self {
        Self {
            key: key.globals(),
            size_bytes: text.len() as u64,
            sha256: hex(&Sha256::digest(text)),
            passwords,
        }
    }
}

impl Storage {
    /// Writes the globals that `manifest` will speak of. Without that manifest [`Storage::remove_partial`] removes
    /// them.
    ///
    /// # Errors
    /// As [`Storage::write_manifest`].
    pub async fn write_globals(&self, key: &ObjectKey, text: Vec<u8>) -> Result<(), Fault> {
        self.backend.put(&key.globals(), text).await
    }

    /// Reads a backup's globals again; `None` if it has none.
    ///
    /// # Errors
    /// A permanent [`Code::GlobalsDamaged`] where they are not what the manifest says; the storage's.
    pub async fn read_globals(&self, manifest: &Manifest) -> Result<Option<Vec<u8>>, Fault> {
        let Some(wanted) = &manifest.globals else {
            return Ok(None);
        };
        let damaged = |what| {
            Fault::permanent(Code::GlobalsDamaged, format!("{} {what}", wanted.key)).hint(
                "The archive is another object and may be whole: take the roles from another backup of the server.",
            )
        };
        match self
            .backend
            .read_small(&wanted.key, wanted.size_bytes.min(LARGEST))
            .await
        {
            Ok(Small::Whole(text))
                if Globals::of(&manifest.object.key, &text, wanted.passwords) == *wanted =>
            {
                Ok(Some(text.to_vec()))
            }
            Ok(Small::Missing) => Err(damaged("cannot be found")),
            Ok(_) => Err(damaged("is not what its manifest says")),
            Err(fault) => Err(fault),
        }
    }
}

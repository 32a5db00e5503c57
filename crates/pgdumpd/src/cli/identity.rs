//! The identities that a command line names.

use std::path::PathBuf;
use std::sync::Arc;

use crate::encryption::Identities;
use crate::off_runtime::off_runtime;
use crate::readback::Stored;

#[derive(Debug, clap::Args)]
pub(super) struct IdentityFiles {
    /// A file with the secret key of an encrypted backup, as age-keygen writes it; may be given several times
    #[arg(
        long = "identity",
        short = 'i',
        value_name = "FILE",
        env = "PGDUMPD_IDENTITY_FILE",
        hide_env_values = true
    )]
    files: Vec<PathBuf>,
}

impl IdentityFiles {
    /// Unlocks a backup with them, if it is encrypted and any are named.
    pub(super) async fn unlock(&self, stored: &mut Stored) -> anyhow::Result<()> {
        let mut files = self.files.clone();
        // An empty variable counts as not set.
        files.retain(|file| !file.as_os_str().is_empty());
        if files.is_empty() || stored.manifest.encryption.is_none() {
            return Ok(());
        }
        let read = off_runtime("reads the identities", move || Identities::read(&files));
        stored.unlock(Arc::new(read.await??))?;
        Ok(())
    }
}

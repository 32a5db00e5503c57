//! Roles and tablespaces, dumped before the database: what fails here has locked nothing yet.

use tracing::info;

use super::cancel::JobCancel;
use super::error::{AttemptError, InStep, Step};
use crate::config::TargetConfig;
use crate::dump::{self, Plan};
use crate::globals::Globals;

/// What will be stored beside the archive.
pub(super) struct Dumped {
    /// SQL, encrypted where the target's backups are.
    pub(super) stored: Vec<u8>,
    /// Whether passwords are in it.
    pub(super) passwords: bool,
}

/// Dumps them; `None` if the target's configuration asks for none.
pub(super) async fn dump(
    plan: &Plan,
    config: &TargetConfig,
    cancel: &JobCancel,
) -> Result<Option<Dumped>, AttemptError> {
    let Some(globals) = config.globals else {
        return Ok(None);
    };
    let limit = config.stall_timeout;
    let dumped = dump::dump_globals(plan, globals, limit, cancel.token()).await;
    let text = dumped.in_step(Step::Dump)?.ok_or(AttemptError::Cancelled)?;
    info!(globals.bytes = text.len(), "roles and tablespaces dumped");
    let stored = match &config.encryption {
        Some(encryption) => encryption.encrypt_to.encrypt(&text).in_step(Step::Store)?,
        None => text,
    };
    Ok(Some(Dumped {
        stored,
        passwords: globals == Globals::WithPasswords,
    }))
}

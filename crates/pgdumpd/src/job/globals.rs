//! Roles and tablespaces, dumped before the database: what fails here has locked nothing yet.

use tracing::info;

use super::halt::HaltSwitch;
use super::stop::{InStep, Step, Stop};
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

/// Dumps them; none where the target's configuration asks for none.
pub(super) async fn dump(
    plan: &Plan,
    config: &TargetConfig,
    switch: &HaltSwitch,
) -> Result<Option<Dumped>, Stop> {
    let Some(globals) = config.globals else {
        return Ok(None);
    };
    let limit = config.stall_timeout;
    let dumped = dump::dump_globals(plan, globals, limit, switch.token()).await;
    let text = dumped.in_step(Step::Dump)?.ok_or(Stop::Halted)?;
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

//! Roles and tablespaces, dumped before the database: what fails here has locked nothing yet.

use tracing::info;

use super::error::{AttemptError, InStep, Step};
use super::job_context::JobContext;
use crate::config::TargetConfig;
use crate::dump::{self, Plan};
use crate::globals::Globals;
use crate::off_runtime::off_runtime;
use crate::server::Target;

/// What will be stored beside the archive.
pub(super) struct Dumped {
    /// SQL, encrypted where the target's backups are.
    pub(super) stored: Vec<u8>,
    /// Whether passwords are in it.
    pub(super) passwords: bool,
}

/// Dumps them; `None` if the target's configuration asks for none.
pub(super) async fn dump(
    context: JobContext<'_>,
    target: &Target,
    plan: &Plan,
    config: &TargetConfig,
) -> Result<Option<Dumped>, AttemptError> {
    let Some(globals) = config.globals else {
        return Ok(None);
    };
    let limit = config.stall_timeout;
    let dumped = dump::dump_globals(plan, globals, limit, context.cancel.token()).await;
    let text = match dumped {
        Ok(dumped) => dumped.ok_or(AttemptError::Cancelled)?,
        // What a check finds of the database's tables is no reason here.
        Err(fault) => return Err(context.explain_globals(target, fault).await).in_step(Step::Dump),
    };
    info!(globals.bytes = text.len(), "roles and tablespaces dumped");
    let stored = match &config.encryption {
        Some(encryption) => {
            let recipients = encryption.encrypt_to.clone();
            // Up to 64 MiB: work for a thread of its own.
            let encrypted = off_runtime("encrypts the roles", move || recipients.encrypt(&text));
            encrypted.await.flatten().in_step(Step::Store)?
        }
        None => text,
    };
    Ok(Some(Dumped {
        stored,
        passwords: globals == Globals::WithPasswords,
    }))
}

//! How many connections the process may have open, so that enough files remain for backups.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Files and connections that backups and their copies may need.
const FOR_BACKUPS: u64 = 1024;

/// How many connections are allowed of those that are wanted. Raises the process's own limit first, which is often 1024
/// while the system allows far more.
pub(super) fn allowed(wanted: usize) -> usize {
    let needed = FOR_BACKUPS + wanted as u64;
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else {
        return wanted;
    };
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raise = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raise) {
        Ok(()) => raised,
        Err(_) => current,
    };
    if current >= needed {
        return wanted;
    }
    // At least half of what there is stays for backups.
    let left = current.saturating_sub(FOR_BACKUPS.min(current / 2)).max(1);
    let allowed = usize::try_from(left).unwrap_or(wanted).min(wanted);
    warn!(
        "only {allowed} connections over HTTP are allowed, not {wanted}: the process may open {current} files; raise LimitNOFILE= in the unit"
    );
    allowed
}

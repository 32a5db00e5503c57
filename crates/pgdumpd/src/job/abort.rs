//! Gives up an upload that nobody may see.

use std::time::Duration;

use tracing::warn;

use crate::store::Upload;

/// How long a storage may take to remove a partial object. What it does not manage, a later daemon does.
const ABORT_LIMIT: Duration = Duration::from_secs(30);

/// Gives an upload up, within a limit: a storage that hangs must not keep the job, or the daemon's stop.
pub(super) async fn abort(upload: Upload) {
    match tokio::time::timeout(ABORT_LIMIT, upload.abort()).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => warn!(
            "the partial object could not be removed: {}",
            fault.report()
        ),
        Err(_) => warn!(
            "the partial object could not be removed: no answer from the storage in {} s",
            ABORT_LIMIT.as_secs()
        ),
    }
}

//! Work that blocks.

use crate::code::Code;
use crate::fault::Fault;

/// Runs what blocks off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(
                Fault::transient(Code::StorageFailed, "the storage's thread ended")
                    .caused_by(error),
            )
        })
}

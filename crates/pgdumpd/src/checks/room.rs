//! Whether the storages have room for what their targets store.

use serde_json::json;

use crate::code::Code;
use crate::config::TargetConfig;
use crate::context::Catalog;
use crate::finding::Finding;
use crate::queue::Queue;
use crate::text::size;

/// Finds a storage in which another backup as large as the target's last one would leave less room than is to be left.
/// Nothing where the storage or the queue does not answer: their own checks say so.
pub(super) async fn of_target(
    name: &str,
    config: &TargetConfig,
    catalog: &Catalog,
    queue: &Queue,
) -> Option<Finding> {
    let last = queue.last_size(name, &json!({})).await.ok()??;
    let storage = catalog.storages.get(&config.storage)?;
    let storage = catalog.known.open(&config.storage, storage).await.ok()?;
    let fault = storage.ensure_room(last.stored).await.err()?;
    if fault.code() != Code::StorageFull {
        return None;
    }
    let what = format!(
        "storage \"{}\" has no room for another backup as large as the last one, {}: {fault}",
        config.storage,
        size(last.stored)
    );
    let finding = Finding::warning("storage_full", what);
    Some(match fault.advice() {
        Some(hint) => finding.hint(hint),
        None => finding,
    })
}

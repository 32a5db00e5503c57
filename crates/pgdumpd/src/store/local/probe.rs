//! What a check finds of a local directory: its free space, and who else may read it.

use super::{LocalBackend, acting_on};
use crate::finding::Finding;
use crate::store::backend::Backend as _;
use crate::store::room::no_room;
use crate::text::size;

/// Whether there is as much free space as is to be left.
pub(super) async fn space(local: &LocalBackend, storage: &str) -> Finding {
    let Ok(Some(free)) = local.free_space().await else {
        let what = format!("the free space of storage \"{storage}\" cannot be measured");
        return Finding::warning("space_unknown", what);
    };
    let min_free = local.min_free;
    if free < min_free {
        let what = format!(
            "storage \"{storage}\" has {} free, less than the {} that are to be left",
            size(free),
            size(min_free)
        );
        return (&no_room(what)).into();
    }
    Finding::ok(format!("storage \"{storage}\" has {} free", size(free)))
}

/// Whether others may read or write the root.
pub(super) async fn mode(local: &LocalBackend) -> Option<Finding> {
    let mode = match local
        .run(acting_on("inspect", ""), |root| root.mode())
        .await
    {
        Ok(mode) => mode,
        Err(fault) => return Some((&fault).into()),
    };
    let shown = local.root.path().display();
    let (what, hint) = match mode {
        mode if mode & 0o022 != 0 => (
            "written",
            "who can write there can replace or remove backups.",
        ),
        mode if mode & 0o055 != 0 => (
            "listed",
            "backups in it are private (0600), but their names are visible.",
        ),
        _ => return None,
    };
    let what = format!("{shown} can be {what} by others (mode {mode:o})");
    let hint = format!("Run `chmod 700 {shown}`: {hint}");
    Some(Finding::warning("storage_open_to_others", what).hint(hint))
}

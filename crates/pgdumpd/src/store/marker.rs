//! The small object that makes a place a storage and gives it an id, `pgdumpd-storage.json`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::code::Code;
use crate::fault::Fault;

/// The marker's name, in the storage's root.
pub(super) const NAME: &str = "pgdumpd-storage.json";
/// The newest marker that this build understands.
const FORMAT: u32 = 1;
/// What to do where a storage is not there.
pub(super) const MISSING_HINT: &str = "Check whether the file system that holds it is mounted. A new storage is made \
     by the daemon, when it starts or reloads, unless the configuration or the queue knows the id of another.";
/// More than any marker.
pub(super) const LARGEST: u64 = 64 << 10;
/// What file systems and the servers of shares keep in the root of a mount by themselves. Nobody's data is there, so
/// that it neither makes a directory somebody's own nor is read.
const OF_THE_FILE_SYSTEM: &[&str] = &[
    // ext2 to ext4; only root may enter it.
    "lost+found",
    // NetApp and ZFS: every older state of the whole directory once more.
    ".snapshot",
    ".zfs",
    // Synology and QNAP: thumbnails, deleted files, older states.
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "@Recently-Snapshot",
];

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    format: u32,
    pub(super) storage_id: Uuid,
}

impl Marker {
    /// With a random id.
    pub(super) fn new() -> Self {
        Self {
            format: FORMAT,
            storage_id: Uuid::new_v4(),
        }
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec_pretty(self).map_err(|error| {
            Fault::permanent(Code::Internal, "cannot write a marker").caused_by(error)
        })
    }
}

/// Where no storage is; without a hint yet.
pub(super) fn missing(place: &str, expected: &[Uuid]) -> Fault {
    let what = match expected {
        [] => format!("{place} is not a storage: it has no {NAME}"),
        [first, ..] => format!("{place} is not the storage {first}: it has no {NAME}"),
    };
    Fault::transient(Code::StorageMissing, what)
}

/// Where another storage is; without a hint yet.
pub(super) fn replaced(place: &str, found: Uuid, expected: Uuid) -> Fault {
    let what = format!("{place} holds the storage {found}, not {expected}");
    Fault::transient(Code::StorageReplaced, what)
}

/// The id in a marker's text; `shown` names the marker.
pub(super) fn parse(shown: &str, text: &[u8]) -> Result<Uuid, Fault> {
    let marker: Marker = serde_json::from_slice(text)
        .map_err(|e| invalid(format!("{shown} cannot be read")).caused_by(e))?;
    if marker.format > FORMAT {
        let what = format!("{shown} has format {}", marker.format);
        return Err(Fault::permanent(Code::StorageNewer, what).hint(format!(
            "This pgdumpd understands formats up to {FORMAT}: use a newer one."
        )));
    }
    Ok(marker.storage_id)
}

/// A marker that cannot be used.
pub(super) fn invalid(what: String) -> Fault {
    Fault::permanent(Code::StorageMarkerInvalid, what).hint(
        "Restore the file from a copy, or write it again with the storage_id of any manifest in the storage.",
    )
}

/// A place that contains something and is not a storage.
pub(super) fn foreign_fault(place: &str, entry: &str) -> Fault {
    let what = format!("{place} has no {NAME} but contains \"{entry}\"");
    Fault::permanent(Code::StorageForeign, what).hint(format!(
        "Give the storage a directory, or a prefix, of its own. If this is one that lost its {NAME}, write it again, as \
         {{\"format\": 1, \"storage_id\": \"...\"}}, with the storage_id of any manifest in it."
    ))
}

/// Whether a name in the root of a mount is there by itself, and nobody's data.
pub(super) fn is_of_the_file_system(name: &str) -> bool {
    OF_THE_FILE_SYSTEM.contains(&name)
}

/// Whether something empty of this name is there only so that the directory, or prefix, is. A console that makes a
/// folder stores an object under the prefix itself, whose name from there is empty. What holds a single byte, and any
/// other name, is somebody's.
pub(super) fn is_placeholder(name: &str) -> bool {
    ["", ".keep", ".gitkeep", "_$folder$"].contains(&name)
}

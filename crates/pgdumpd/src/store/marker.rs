//! The small file that makes a directory a storage and gives it an id, `pgdumpd-storage.json`.

use rustix::fs::Dir;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::faults;
use super::local_read::Entry;
use super::root::Root;
use crate::fault::Fault;

/// The marker's name, in the storage's root.
pub(super) const NAME: &str = "pgdumpd-storage.json";
/// The newest marker that this build understands.
const FORMAT: u32 = 1;
/// What to do where a storage is not there.
pub(super) const MISSING_HINT: &str = "See whether the file system that holds it is mounted. A new storage is made \
     by the daemon, when it starts or reloads, unless the configuration or the queue knows the id of another.";
/// More than any marker.
pub(super) const LARGEST: u64 = 64 << 10;
/// What file systems and the servers of shares keep in the root of a mount by themselves. Nobody's data lies there, so
/// that it neither makes a directory somebody's own nor is looked into.
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
        serde_json::to_vec_pretty(self)
            .map_err(|error| Fault::permanent("internal", "cannot write a marker").caused_by(error))
    }
}

/// The storage's id; written first where the directory is new. Daemons that come at once end with one id.
pub(super) fn read_or_create(root: &Root) -> Result<Uuid, Fault> {
    if let Some(id) = read(root)? {
        return Ok(id);
    }
    if let Some(fault) = foreign(root)? {
        // Another daemon may have made this a storage, and begun to use it, since we looked.
        return read(root)?.ok_or(fault);
    }
    let marker = Marker::new();
    let content = marker.to_json()?;
    let created = root.write_new(NAME, &content).map_err(|error| {
        faults::of_io(
            format!("cannot write {}", root.join(NAME).display()),
            root.path(),
            error,
        )
    })?;
    if created {
        tracing::info!(
            storage.id = %marker.storage_id,
            path = %root.path().display(),
            "a new storage was made; with its id as storage_id in the configuration none is made again"
        );
        return Ok(marker.storage_id);
    }
    read(root)?.ok_or_else(|| {
        let what = format!("{} came and went", root.join(NAME).display());
        Fault::transient("storage_failed", what)
    })
}

/// The id of the storage that is there, which must be one of those `expected`, if any are; creates nothing.
pub(super) fn expect(root: &Root, expected: &[Uuid]) -> Result<Uuid, Fault> {
    let path = root.path().display().to_string();
    let Some(found) = read(root)? else {
        let missing = missing(&path, expected).hint(MISSING_HINT);
        return Err(match expected {
            [] => foreign(root)?.unwrap_or(missing),
            _ => missing,
        });
    };
    match expected {
        [first, ..] if !expected.contains(&found) => Err(replaced(&path, found, *first).hint(
            "Mount the right file system. If the other storage is meant, name its id as storage_id in the storage's \
             section.",
        )),
        _ => Ok(found),
    }
}

/// Makes sure that an opened storage still lies under its path, and is the one with this id.
///
/// A storage that is mounted elsewhere by now can still be written to through the open directory; nobody would find what
/// is written there.
pub(super) fn confirm(root: &Root, id: Uuid) -> Result<(), Fault> {
    let found = Root::open(root.path()).and_then(|now| {
        expect(&now, &[id])?;
        let same = root.is_same_as(&now);
        let path = root.path().display();
        same.map_err(|e| faults::of_io(format!("cannot look at {path}"), root.path(), e))
    });
    match found {
        Ok(true) => Ok(()),
        Ok(false) => {
            let what = format!(
                "{} is another directory by now, with the id of the storage that was opened",
                root.path().display()
            );
            Err(Fault::transient("storage_replaced", what).hint(
                "It was mounted once more, or another copy of it was: two storages must not have one id. The next \
                 attempt uses what is there now.",
            ))
        }
        // It was there a moment ago: whatever hides it, such as a mount point of root's, may go again.
        Err(fault) => Err(fault.tried_again()),
    }
}

/// Where no storage is; without a hint yet.
pub(super) fn missing(place: &str, expected: &[Uuid]) -> Fault {
    let what = match expected {
        [] => format!("{place} is not a storage: it has no {NAME}"),
        [first, ..] => format!("{place} is not the storage {first}: it has no {NAME}"),
    };
    Fault::transient("storage_missing", what)
}

/// Where another storage is; without a hint yet.
pub(super) fn replaced(place: &str, found: Uuid, expected: Uuid) -> Fault {
    let what = format!("{place} holds the storage {found}, not {expected}");
    Fault::transient("storage_replaced", what)
}

fn read(root: &Root) -> Result<Option<Uuid>, Fault> {
    let path = root.join(NAME).display().to_string();
    let found = root
        .read(NAME, LARGEST)
        .map_err(|e| faults::of_io(format!("cannot read {path}"), root.path(), e))?;
    match found {
        Entry::None => Ok(None),
        Entry::File(Some(text)) => parse(&path, &text).map(Some),
        Entry::File(_) => Err(invalid(format!("{path} is too large"))),
        Entry::Special => Err(invalid(format!("{path} is not a regular file"))),
    }
}

/// The id in a marker's text; `shown` names the marker.
pub(super) fn parse(shown: &str, text: &[u8]) -> Result<Uuid, Fault> {
    let marker: Marker = serde_json::from_slice(text)
        .map_err(|e| invalid(format!("{shown} cannot be read")).caused_by(e))?;
    if marker.format > FORMAT {
        let what = format!("{shown} has format {}", marker.format);
        return Err(Fault::permanent("storage_newer", what).hint(format!(
            "This pgdumpd understands formats up to {FORMAT}: use a newer one."
        )));
    }
    Ok(marker.storage_id)
}

/// A marker that cannot be used.
pub(super) fn invalid(what: String) -> Fault {
    Fault::permanent("storage_marker_invalid", what).hint(
        "Restore the file from a copy, or write it again with the storage_id of any manifest in the storage.",
    )
}

/// Why a directory without a marker must not become a storage, if it must not.
fn foreign(root: &Root) -> Result<Option<Fault>, Fault> {
    let Some(entry) = foreign_entry(root)? else {
        return Ok(None);
    };
    let place = root.path().display().to_string();
    Ok(Some(foreign_fault(&place, &entry)))
}

/// A place that contains something and is no storage.
pub(super) fn foreign_fault(place: &str, entry: &str) -> Fault {
    let what = format!("{place} has no {NAME} but contains \"{entry}\"");
    Fault::permanent("storage_foreign", what).hint(format!(
        "Give the storage a directory, or a prefix, of its own. If this is one that lost its {NAME}, write it again, as \
         {{\"format\": 1, \"storage_id\": \"...\"}}, with the storage_id of any manifest in it."
    ))
}

/// The name of something in the root that makes it somebody else's.
fn foreign_entry(root: &Root) -> Result<Option<String>, Fault> {
    let list = || {
        for entry in Dir::new(root.directory("")?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // A temporary marker: another daemon is opening this storage too, or died in doing so.
            let is_ours = name.starts_with(NAME) || name == "." || name == "..";
            if is_ours || is_of_the_file_system(&name) {
                continue;
            }
            if !is_placeholder(&name) || root.size_of(&name)? != Some(0) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    };
    let what = || format!("cannot list {}", root.path().display());
    list().map_err(|error| faults::of_io(what(), root.path(), error))
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

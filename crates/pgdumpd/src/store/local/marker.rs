//! The marker of a storage in a local directory.

use rustix::fs::Dir;
use uuid::Uuid;

use super::directory::Root;
use super::read::Entry;
use crate::code::Code;
use crate::fault::Fault;
use crate::store::faults;
use crate::store::marker::{
    LARGEST, MISSING_HINT, Marker, NAME, foreign_fault, invalid, is_of_the_file_system,
    is_placeholder, missing, parse, replaced,
};

/// The storage's id; written first where the directory is new. Daemons that come at once end with one id.
pub(in crate::store) fn read_or_create(root: &Root) -> Result<Uuid, Fault> {
    if let Some(id) = read(root)? {
        return Ok(id);
    }
    if let Some(fault) = foreign(root)? {
        // Another daemon may have made this a storage, and begun to use it, since it was read.
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
            "a new storage was made; set its id as storage_id in the configuration, and no other one will be made"
        );
        return Ok(marker.storage_id);
    }
    read(root)?.ok_or_else(|| {
        let what = format!("{} appeared and disappeared", root.join(NAME).display());
        Fault::transient(Code::StorageFailed, what)
    })
}

/// The id of the storage that is there, which must be one of those `expected`, if any are; creates nothing.
pub(in crate::store) fn expect(root: &Root, expected: &[Uuid]) -> Result<Uuid, Fault> {
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

/// Makes sure that an opened storage still is under its path, and is the one with this id.
///
/// A storage that is mounted elsewhere by now can still be written to through the open directory; nobody would find
/// what is written there.
pub(in crate::store) fn confirm(root: &Root, id: Uuid) -> Result<(), Fault> {
    let found = Root::open(root.path()).and_then(|now| {
        expect(&now, &[id])?;
        let same = root.is_same_as(&now);
        let path = root.path().display();
        same.map_err(|e| faults::of_io(format!("cannot inspect {path}"), root.path(), e))
    });
    match found {
        Ok(true) => Ok(()),
        Ok(false) => {
            let what = format!(
                "{} is another directory by now, with the id of the storage that was opened",
                root.path().display()
            );
            Err(Fault::transient(Code::StorageReplaced, what).hint(
                "It was mounted again, or a copy of it was: two storages must not have the same id. The next attempt uses the present one.",
            ))
        }
        // It was there a moment ago: whatever hides it, such as a mount point of root's, may go again.
        Err(fault) => Err(fault.tried_again()),
    }
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

/// Why a directory without a marker must not become a storage, if it must not.
fn foreign(root: &Root) -> Result<Option<Fault>, Fault> {
    let Some(entry) = foreign_entry(root)? else {
        return Ok(None);
    };
    let place = root.path().display().to_string();
    Ok(Some(foreign_fault(&place, &entry)))
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

//! The small file that makes a directory a storage and gives it an id, `pgdumpd-storage.json`.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::faults;
use super::root::Root;
use crate::fault::Fault;

/// The marker's name, in the storage's root.
pub(super) const NAME: &str = "pgdumpd-storage.json";
/// The newest marker that this build understands.
const FORMAT: u32 = 1;
/// What to do where a storage is not there.
pub(super) const MISSING_HINT: &str = "See whether the file system that holds it is mounted. A new storage is made \
     by the daemon, when it starts or reloads, unless the configuration has the storage_id of another.";
/// What a fresh file system may contain without being somebody else's.
const IGNORED: &[&str] = &["lost+found"];

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

/// The id of the storage that is there, which must be `expected` if that is given; creates nothing.
pub(super) fn expect(root: &Root, expected: Option<Uuid>) -> Result<Uuid, Fault> {
    let path = root.path().display();
    let Some(found) = read(root)? else {
        let missing = missing(&path.to_string()).hint(MISSING_HINT);
        return Err(match expected {
            None => foreign(root)?.unwrap_or(missing),
            Some(_) => missing,
        });
    };
    match expected {
        Some(id) if id != found => Err(replaced(&path.to_string(), found, id).hint(
            "Mount the right file system. If the other storage is meant, correct the configuration's storage_id, or \
             send SIGHUP to the daemon where it has none.",
        )),
        _ => Ok(found),
    }
}

/// Where no storage is; without a hint yet.
pub(super) fn missing(place: &str) -> Fault {
    let what = format!("{place} is no storage: it has no {NAME}");
    Fault::transient("storage_missing", what)
}

/// Where another storage is; without a hint yet.
pub(super) fn replaced(place: &str, found: Uuid, expected: Uuid) -> Fault {
    let what = format!("{place} holds the storage {found}, not {expected}");
    Fault::transient("storage_replaced", what)
}

fn read(root: &Root) -> Result<Option<Uuid>, Fault> {
    let path = root.join(NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(faults::of_io(
                format!("cannot read {}", path.display()),
                &path,
                error,
            ));
        }
    };
    parse(&path.display().to_string(), &text).map(Some)
}

/// The id in a marker's text; `shown` names the marker.
pub(super) fn parse(shown: &str, text: &[u8]) -> Result<Uuid, Fault> {
    let invalid = |what: String| {
        Fault::permanent("storage_marker_invalid", what).hint(
            "Restore the file from a copy, or write it again with the storage_id of any manifest in the storage.",
        )
    };
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

/// The name of something in the root that neither is ours nor belongs to a fresh file system.
fn foreign_entry(root: &Root) -> Result<Option<String>, Fault> {
    let cannot = |error| {
        faults::of_io(
            format!("cannot list {}", root.path().display()),
            root.path(),
            error,
        )
    };
    for entry in fs::read_dir(root.path()).map_err(cannot)? {
        let name = entry
            .map_err(cannot)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        // A temporary marker: another daemon is opening this storage too, or died in doing so.
        if !IGNORED.contains(&name.as_str()) && !name.starts_with(NAME) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

//! `[storages.NAME]`: where backups go.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::StorageConfig;
use super::reader::Reader;
use super::sources::{Origin, Sources};
use super::targets;

/// The storage of the mode without configuration.
const DERIVED: &str = "local";

pub(super) fn read(reader: &mut Reader<'_>) -> BTreeMap<String, StorageConfig> {
    let mut storages = BTreeMap::new();
    for (name, section) in reader.named_sections("storages", "storages.*") {
        targets::check_name(reader, &section, &name);
        let path = PathBuf::from(reader.text(&section, "path").unwrap_or_default());
        match reader.find(&section, "path") {
            None => reader.problem(section.key("path"), None, "is missing: name a directory"),
            Some(found) if !path.is_absolute() => {
                reader.refuse(&section, "path", &found, "is not an absolute path");
            }
            Some(_) => {}
        }
        let storage = StorageConfig {
            path,
            storage_id: reader.uuid(&section, "storage_id"),
            min_free: reader.size(&section, "min_free"),
        };
        storages.insert(name, storage);
    }
    if storages.is_empty() && targets::are_derived(reader) {
        storages.extend(derived(reader));
    }
    storages
}

fn derived(reader: &mut Reader<'_>) -> Option<(String, StorageConfig)> {
    let Some(path) = derived_path(reader.sources) else {
        reader.problem(
            format!("storages.{DERIVED}.path"),
            None,
            "no directory can be worked out: set PGDUMPD_STORAGE to an absolute path",
        );
        return None;
    };
    let section = Reader::empty_section("storages", DERIVED, "storages.*");
    reader.entry(section.key("path"), format!("{path:?}"), Origin::Derived);
    let storage = StorageConfig {
        path,
        storage_id: None,
        min_free: reader.size(&section, "min_free"),
    };
    Some((DERIVED.to_owned(), storage))
}

/// What the user said, else where systemd lets a service keep state, else where a person's programs do.
fn derived_path(sources: &Sources) -> Option<PathBuf> {
    let absolute = |name: &str| {
        // StateDirectory= may name several, parted by colons.
        let path = PathBuf::from(sources.variable(name)?.split(':').next()?);
        path.is_absolute().then_some(path)
    };
    absolute("PGDUMPD_STORAGE")
        .or_else(|| Some(absolute("STATE_DIRECTORY")?.join("backups")))
        .or_else(|| Some(absolute("XDG_STATE_HOME")?.join("pgdumpd/backups")))
        .or_else(|| Some(absolute("HOME")?.join(".local/state/pgdumpd/backups")))
}

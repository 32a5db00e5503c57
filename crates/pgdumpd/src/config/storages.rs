//! `[storages.NAME]`: where backups go.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::origin::Origin;
use super::reader::{Reader, Section};
use super::sources::Sources;
use super::storage_url::StorageUrl;
use super::{PlaceConfig, StorageConfig, remote, targets, values};

/// The storage of the mode without configuration.
const DERIVED: &str = "local";

pub(super) fn read(reader: &mut Reader<'_>) -> BTreeMap<String, StorageConfig> {
    let mut storages = BTreeMap::new();
    for (name, section) in reader.named_sections("storages", "storages.*") {
        targets::check_name(reader, &section, &name);
        let storage_id = reader.uuid(&section, "storage_id");
        // A harmless value if it is wrong, so that its targets are not reported, too.
        let place = place(reader, &section).unwrap_or(PlaceConfig::Local {
            path: PathBuf::new(),
            min_free: 0,
        });
        storages.insert(name, StorageConfig { place, storage_id });
    }
    if storages.is_empty() && targets::are_derived(reader) {
        storages.extend(derived(reader));
    }
    storages
}

/// Where a storage is, by its `path` or its `url`; of the two, the one from the higher layer counts.
fn place(reader: &mut Reader<'_>, section: &Section) -> Option<PlaceConfig> {
    let name = match (reader.find(section, "path"), reader.find(section, "url")) {
        (None, None) => {
            let why = "is missing: name a directory, or write a url";
            reader.problem(section.key("path"), None, why);
            return None;
        }
        (Some(_), None) => "path",
        (None, Some(_)) => "url",
        (Some(path), Some(url)) if path.origin.rank() > url.origin.rank() => "path",
        (Some(path), Some(url)) if path.origin.rank() < url.origin.rank() => "url",
        (Some(_), Some(url)) => {
            let why = "excludes path: remove one of the two";
            reader.problem(section.key("url"), Some(url.origin), why);
            return None;
        }
    };
    let found = reader.find(section, name)?;
    if name == "path" {
        let path = PathBuf::from(reader.text(section, name)?);
        if !path.is_absolute() {
            reader.refuse(section, name, &found, "is not an absolute path");
        }
        return Some(local(reader, section, path));
    }
    let Some(text) = values::text(&found.value) else {
        reader.refuse(section, name, &found, "is not in quotes");
        return None;
    };
    match StorageUrl::parse(&text) {
        Ok(parsed) => {
            reader.entry(section.key(name), values::shown(&found.value), found.origin);
            match parsed {
                StorageUrl::File(path) => Some(local(reader, section, path)),
                StorageUrl::Bucket {
                    scheme,
                    bucket,
                    prefix,
                } => {
                    let remote = remote::read(reader, section, scheme, bucket, prefix)?;
                    Some(PlaceConfig::Remote(Box::new(remote)))
                }
            }
        }
        Err(why) => {
            reader.problem(section.key(name), Some(found.origin), why);
            None
        }
    }
}

fn local(reader: &mut Reader<'_>, section: &Section, path: PathBuf) -> PlaceConfig {
    remote::refuse_all(reader, section);
    let min_free = reader.size(section, "min_free");
    PlaceConfig::Local { path, min_free }
}

fn derived(reader: &mut Reader<'_>) -> Option<(String, StorageConfig)> {
    let Some(path) = derived_path(reader.sources) else {
        reader.problem(
            format!("storages.{DERIVED}.path"),
            None,
            "no default directory is known: set PGDUMPD_STORAGE to an absolute path",
        );
        return None;
    };
    let section = Reader::empty_section("storages", DERIVED, "storages.*");
    reader.entry(section.key("path"), format!("{path:?}"), Origin::Derived);
    let storage = StorageConfig {
        place: local(reader, &section, path),
        storage_id: None,
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

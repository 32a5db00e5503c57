//! `[targets.NAME]`: the databases that may be backed up.

use std::collections::BTreeMap;

use super::origin::Origin;
use super::reader::{Reader, Section};
use super::{Databases, EncryptionConfig, StorageConfig, TargetConfig, keys, secrets};
use crate::compression::Compression;
use crate::compressor::Compressor;
use crate::database_url::DatabaseUrl;
use crate::encryption::{ManifestForm, Recipients};
use crate::globals::Globals;
use crate::schedule::{Schedule, Zone};

/// Bytes of a target's name: the queue takes no longer one.
pub const NAME_MAX: usize = 200;

pub(super) fn read(
    reader: &mut Reader<'_>,
    queue: Option<&DatabaseUrl>,
    storages: &BTreeMap<String, StorageConfig>,
) -> BTreeMap<String, TargetConfig> {
    if are_derived(reader) {
        return queue
            .and_then(|queue| derived(reader, queue, storages))
            .into_iter()
            .collect();
    }
    let mut targets = BTreeMap::new();
    for (name, section) in reader.named_sections("targets", "targets.*") {
        check_name(reader, &section, &name);
        let url = secrets::connection(reader, &section);
        let url = match secrets::password_file(reader, &section) {
            Some(path) => url.map(|url| url.with_password_file(path)),
            None => url,
        };
        let unset = |key| reader.find(&section, key).is_none();
        if unset("url") && unset("url_file") {
            reader.problem(section.key("url"), None, "is missing: set it or url_file");
        }
        if let Some(target) = read_one(reader, &section, url, storages) {
            targets.insert(name, target);
        }
    }
    if targets.is_empty() {
        reader
            .warnings
            .push("no target is configured: a daemon would claim no job".to_owned());
    }
    targets
}

/// Whether this is the mode without configuration: no file, no target, only `DATABASE_URL`.
pub(super) fn are_derived(reader: &mut Reader<'_>) -> bool {
    reader.file.is_none()
        && reader.sources.variable("DATABASE_URL").is_some()
        && reader.is_absent("targets")
}

/// Refuses a name that could not stand in a storage key, a job's row or a log line.
pub(super) fn check_name(reader: &mut Reader<'_>, section: &Section, name: &str) {
    let fits = (1..=NAME_MAX).contains(&name.len())
        && !name.contains('/')
        && !name.chars().any(char::is_control)
        && name != "."
        && name != "..";
    if !fits {
        let text = format!(
            "is not a valid name: allowed are 1 to {NAME_MAX} bytes without \"/\" and control characters, not \".\" or \"..\""
        );
        reader.problem(section.path.clone(), None, text);
    }
}

fn derived(
    reader: &mut Reader<'_>,
    queue: &DatabaseUrl,
    storages: &BTreeMap<String, StorageConfig>,
) -> Option<(String, TargetConfig)> {
    let name = queue.database().to_owned();
    let section = Reader::empty_section("targets", &name, "targets.*");
    check_name(reader, &section, &name);
    reader.entry(section.key("url"), format!("\"{queue}\""), Origin::Derived);
    let target = read_one(reader, &section, Some(queue.clone()), storages)?;
    Some((name, target))
}

/// Reads all but the address, so that its problems do not hide the others.
fn read_one(
    reader: &mut Reader<'_>,
    section: &Section,
    url: Option<DatabaseUrl>,
    storages: &BTreeMap<String, StorageConfig>,
) -> Option<TargetConfig> {
    let databases = databases(reader, section);
    let storage = storage(reader, section, storages);
    let copies = copies(reader, section, storage.as_deref(), storages);
    let compression = compression(reader, section);
    let compressor = reader.text(section, "compressor");
    let compressor = compressor.and_then(|name| Compressor::named(&name));
    let globals = reader.text(section, "globals");
    let globals = globals.and_then(|name| Globals::named(&name));
    let lock_wait_timeout = reader.duration(section, "lock_wait_timeout");
    let stall_timeout = reader.duration(section, "stall_timeout");
    let progress_sample = reader.boolean(section, "progress_sample");
    let strict_filters = reader.boolean(section, "strict_filters");
    let timeout = reader.optional_duration(section, "timeout");
    let schedule = schedule(reader, section);
    let alert_after = reader.optional_duration(section, "alert_after");
    let (keep_last, keep_partial) = kept(reader, section);
    let encryption = encryption(reader, section);
    Some(TargetConfig {
        url: url?,
        databases,
        storage: storage?,
        copies,
        compression,
        compressor,
        globals,
        lock_wait_timeout,
        stall_timeout,
        progress_sample,
        strict_filters,
        timeout,
        schedule,
        alert_after,
        keep_last,
        keep_partial,
        encryption,
    })
}

fn databases(reader: &mut Reader<'_>, section: &Section) -> Databases {
    let all = reader.text(section, "databases").is_some();
    let exclude = reader.list(section, "exclude_databases");
    if all {
        return Databases::All { exclude };
    }
    let refused = reader.find(section, "databases").is_some();
    if let Some(found) = reader.find(section, "exclude_databases")
        && !refused
    {
        let why = "has no meaning without databases = \"*\"";
        reader.refuse(section, "exclude_databases", &found, why);
    }
    Databases::One
}

/// The named storage, which must exist; the only one if none is named.
fn storage(
    reader: &mut Reader<'_>,
    section: &Section,
    storages: &BTreeMap<String, StorageConfig>,
) -> Option<String> {
    let known = storages.keys().cloned().collect::<Vec<_>>().join(", ");
    let Some(found) = reader.find(section, "storage") else {
        let mut names = storages.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => {
                reader.entry(section.key("storage"), format!("{only:?}"), Origin::Default);
                return Some(only.clone());
            }
            (None, _) => {
                let text =
                    "is missing, and no storage is configured: add [storages.NAME] with a path";
                reader.problem(section.key("storage"), None, text);
            }
            (Some(_), Some(_)) => {
                let text = format!("is missing: name one of {known}");
                reader.problem(section.key("storage"), None, text);
            }
        }
        return None;
    };
    let name = reader.text(section, "storage")?;
    if !storages.contains_key(&name) {
        let why = if known.is_empty() {
            "is not configured: add [storages.NAME] with a path".to_owned()
        } else {
            format!("is not configured: known are {known}")
        };
        reader.refuse(section, "storage", &found, &why);
    }
    Some(name)
}

/// Further storages: configured ones, each once, and none that the dump itself goes to.
fn copies(
    reader: &mut Reader<'_>,
    section: &Section,
    storage: Option<&str>,
    storages: &BTreeMap<String, StorageConfig>,
) -> Vec<String> {
    let copies = reader.list(section, "copies");
    let Some(found) = reader.find(section, "copies") else {
        return copies;
    };
    for (at, name) in copies.iter().enumerate() {
        let why = if !storages.contains_key(name) {
            let known = storages.keys().cloned().collect::<Vec<_>>().join(", ");
            format!("\"{name}\" is not configured: known are {known}")
        } else if storage == Some(name) {
            format!("\"{name}\" is the target's own storage: name others")
        } else if copies[..at].contains(name) {
            format!("\"{name}\" is named twice")
        } else {
            continue;
        };
        reader.problem(section.key("copies"), Some(found.origin.clone()), why);
    }
    copies
}

fn compression(reader: &mut Reader<'_>, section: &Section) -> Compression {
    let text = reader.text(section, "compression").unwrap_or_default();
    match (text.parse(), reader.find(section, "compression")) {
        (Ok(compression), _) => compression,
        (Err(_), Some(found)) if !text.is_empty() => {
            let why =
                "is not a compression: write auto, none, gzip:1 to gzip:9, or zstd:1 to zstd:22";
            reader.refuse(section, "compression", &found, why);
            Compression::Auto
        }
        (Err(_), _) => Compression::Auto,
    }
}

/// `keep_last` and `keep_partial`.
fn kept(reader: &mut Reader<'_>, section: &Section) -> (Option<u32>, Option<u32>) {
    let given = reader.find(section, "keep_last").is_some();
    if let Some(found) = reader.find(section, "keep_partial")
        && !given
    {
        let why = "has no meaning without keep_last";
        reader.refuse(section, "keep_partial", &found, why);
        return (None, None);
    }
    let keep_last = reader.optional_integer(section, "keep_last");
    (keep_last, reader.optional_integer(section, "keep_partial"))
}

fn schedule(reader: &mut Reader<'_>, section: &Section) -> Option<Schedule> {
    let Some(found) = reader.find(section, "schedule") else {
        if let Some(zone) = reader.find(section, "schedule_zone") {
            reader.refuse(
                section,
                "schedule_zone",
                &zone,
                "has no meaning without schedule",
            );
        }
        return None;
    };
    let text = reader.text(section, "schedule");
    let zone = zone(reader, section);
    // With another zone where that is wrong, so that one problem does not hide the other.
    match Schedule::parse(&text?, zone.unwrap_or(Zone::UTC)) {
        Ok(schedule) => zone.map(|_| schedule),
        Err(error) => {
            let why = format!(
                "{error}: write minute, hour, day of month, month and day of week, such as \"30 3 * * *\" or \
                 \"0 22 * * mon-fri\", or @hourly, @daily, @weekly, @monthly or @yearly"
            );
            reader.refuse(section, "schedule", &found, &why);
            None
        }
    }
}

fn encryption(reader: &mut Reader<'_>, section: &Section) -> Option<EncryptionConfig> {
    let texts = reader.list(section, "encrypt_to");
    let sealed = reader.text(section, "manifest").as_deref() == Some("sealed");
    let found = reader.find(section, "encrypt_to");
    if let Some(found) = found.filter(|_| !texts.is_empty()) {
        let manifest = if sealed {
            ManifestForm::Sealed
        } else {
            ManifestForm::Clear
        };
        match Recipients::parse(&texts) {
            Ok(encrypt_to) => {
                return Some(EncryptionConfig {
                    encrypt_to,
                    manifest,
                });
            }
            // Never with what was written: it may be a secret key.
            Err((at, why)) => {
                let text = format!("(entry {}) {why}", at + 1);
                reader.problem(section.key("encrypt_to"), Some(found.origin), text);
            }
        }
    } else if let Some(manifest) = reader.find(section, "manifest").filter(|_| sealed) {
        let why = "has no meaning without encrypt_to: name the public keys of those who may read the backups";
        reader.refuse(section, "manifest", &manifest, why);
    }
    None
}

fn zone(reader: &mut Reader<'_>, section: &Section) -> Option<Zone> {
    let name = reader.text(section, "schedule_zone")?;
    if let Ok(zone) = name.parse() {
        return Some(zone);
    }
    let why = match keys::did_you_mean(&name, Zone::names()) {
        Some(meant) => format!("is not a time zone: did you mean \"{meant}\"?"),
        None => "is not a time zone: write its name in the tz database, such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
    };
    if let Some(found) = reader.find(section, "schedule_zone") {
        reader.refuse(section, "schedule_zone", &found, &why);
    }
    None
}

//! What a name in a storage is, by its form alone.

use uuid::Uuid;

use super::key::{ARCHIVE_SUFFIX, ENCRYPTED_SUFFIX, GLOBALS_SUFFIX, MANIFEST_SUFFIX, ObjectKey};
use super::marker;

/// What the name of a probe begins with.
pub(super) const PROBE_PREFIX: &str = "pgdumpd-probe-";

/// A name in a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// The storage's marker.
    Marker,
    /// A small file of ours that lives for an instant: a probe, or a marker that is being written.
    Scrap,
    /// A part of what an attempt stores.
    Part(Part),
    /// None of ours.
    Unknown,
}

/// A part of what an attempt stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The queue of the attempt's job.
    pub queue_id: Uuid,
    /// The backup's id.
    pub job: Uuid,
    /// The attempt's lease token.
    pub token: Uuid,
    /// The archive that it is, or is beside.
    pub archive: ObjectKey,
    /// Which part.
    pub kind: PartKind,
    /// Still being written, or left so.
    pub temporary: bool,
}

/// Which part of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// The archive itself.
    Archive,
    /// What makes it a backup.
    Manifest,
    /// Roles and tablespaces.
    Globals,
}

impl Name {
    /// Reads a name, from the storage's root.
    pub fn of(key: &str) -> Self {
        let (name, temporary) = match key.rsplit_once('#') {
            Some((name, number)) if is_number(number) => (name, true),
            _ => (key, false),
        };
        if name == marker::NAME {
            return if temporary { Self::Scrap } else { Self::Marker };
        }
        if name.starts_with(PROBE_PREFIX) {
            return Self::Scrap;
        }
        Part::of(name, temporary).map_or(Self::Unknown, Self::Part)
    }
}

impl Part {
    fn of(name: &str, temporary: bool) -> Option<Self> {
        let (archive, kind) = if let Some(archive) = name.strip_suffix(MANIFEST_SUFFIX) {
            (archive.to_owned(), PartKind::Manifest)
        } else if let Some(stem) = name.strip_suffix(GLOBALS_SUFFIX) {
            (format!("{stem}{ARCHIVE_SUFFIX}"), PartKind::Globals)
        } else if let Some(stem) = name
            .strip_suffix(ENCRYPTED_SUFFIX)
            .and_then(|name| name.strip_suffix(GLOBALS_SUFFIX))
        {
            let archive = format!("{stem}{ARCHIVE_SUFFIX}{ENCRYPTED_SUFFIX}");
            (archive, PartKind::Globals)
        } else {
            (name.to_owned(), PartKind::Archive)
        };
        let archive = ObjectKey::parse(&archive).ok()?;
        let segments: Vec<&str> = archive.as_str().split('/').collect();
        let [queue_id, _target, _year, _month, job, file] = segments[..] else {
            return None;
        };
        let file = file.strip_suffix(ENCRYPTED_SUFFIX).unwrap_or(file);
        let token = file.strip_suffix(ARCHIVE_SUFFIX)?;
        Some(Self {
            queue_id: Uuid::parse_str(queue_id).ok()?,
            job: Uuid::parse_str(job).ok()?,
            token: Uuid::parse_str(token).ok()?,
            archive,
            kind,
            temporary,
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn key() -> (ObjectKey, [Uuid; 3]) {
        let ids = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
        let key = ObjectKey::new(ids[0], "shop/a b", ids[1], ids[2], DateTime::UNIX_EPOCH);
        (key, ids)
    }

    #[test]
    fn every_name_that_is_written_is_known_again() {
        let (clear, [queue_id, job, token]) = key();
        let encrypted = clear.clone().encrypted();
        for (key, name, kind) in [&clear, &encrypted].into_iter().flat_map(|key| {
            [
                (key, key.to_string(), PartKind::Archive),
                (key, key.manifest(), PartKind::Manifest),
                (key, key.globals(), PartKind::Globals),
            ]
        }) {
            for temporary in [false, true] {
                let name = if temporary {
                    format!("{name}#12")
                } else {
                    name.clone()
                };
                let archive = key.clone();
                let part = Part {
                    queue_id,
                    job,
                    token,
                    archive,
                    kind,
                    temporary,
                };
                assert_eq!(Name::of(&name), Name::Part(part), "{name}");
            }
        }
        assert_eq!(Name::of("pgdumpd-storage.json"), Name::Marker);
        assert_eq!(Name::of("pgdumpd-storage.json#1"), Name::Scrap);
        assert_eq!(Name::of("pgdumpd-probe-1"), Name::Scrap);
        assert_eq!(Name::of("pgdumpd-probe-1#3"), Name::Scrap);
    }

    #[test]
    fn what_only_looks_like_ours_is_not() {
        let (key, [queue_id, ..]) = key();
        for name in [
            "",
            "notes.txt",
            "shop.dump",
            "lost+found/x",
            &format!("{queue_id}/shop/2026/11/x.dump"),
            &format!("x/{key}"),
            &format!("{key}#"),
            &format!("{key}#x"),
            &format!("{key}.bak"),
            &key.as_str().replace(".dump", ".sql"),
            &key.as_str().replacen(&queue_id.to_string(), "queue", 1),
        ] {
            assert_eq!(Name::of(name), Name::Unknown, "{name}");
        }
    }
}

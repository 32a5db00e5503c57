//! Where a backup is in a storage: `QUEUE_ID/TARGET/YYYY/MM/JOB/TOKEN.dump` (`TOKEN.dump.age` if it is encrypted), and
//! its manifest beside it.

use std::fmt;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::hex::hex;

/// What an archive's name ends with.
pub(super) const ARCHIVE_SUFFIX: &str = ".dump";
/// What the name of the globals beside an archive has in its place.
pub(super) const GLOBALS_SUFFIX: &str = ".globals.sql";
/// What the names of both have behind that where they are encrypted.
pub(super) const ENCRYPTED_SUFFIX: &str = ".age";
/// What a manifest's name has behind its archive's.
pub(super) const MANIFEST_SUFFIX: &str = ".manifest.json";
/// A target longer than this, once encoded, is cut and distinguished by a hash: file systems end a name at 255 bytes.
const LONGEST_TARGET: usize = 180;
/// S3's limit for a whole key.
const LONGEST_KEY: usize = 1024;

/// The key of one attempt's archive. No two attempts share one: it contains the attempt's lease token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

/// A text that is not an archive's key.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not an archive's key")]
pub struct InvalidKey(String);

impl ObjectKey {
    /// The key for one attempt. `started` gives the year and month, in UTC.
    pub fn new(
        queue_id: Uuid,
        target: &str,
        job: Uuid,
        token: Uuid,
        started: DateTime<Utc>,
    ) -> Self {
        let prefix = Self::prefix(queue_id, target);
        let month = started.format("%Y/%m");
        Self(format!("{prefix}{month}/{job}/{token}{ARCHIVE_SUFFIX}"))
    }

    /// The key of the same archive where it is stored encrypted: whoever finds it sees what to open it with.
    #[must_use]
    pub fn encrypted(self) -> Self {
        Self(format!("{}{ENCRYPTED_SUFFIX}", self.0))
    }

    /// Whether the archive is stored encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.ends_with(ENCRYPTED_SUFFIX)
    }

    /// What the keys of one target's archives begin with, up to and with the slash.
    pub fn prefix(queue_id: Uuid, target: &str) -> String {
        format!("{queue_id}/{}/", encode_target(target))
    }

    /// Reads a key that was written somewhere: in a job's row, in a manifest.
    ///
    /// # Errors
    /// Anything that could lead out of the storage, or is not an archive's key, is refused.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let segment_is_plain = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-%=".contains(&b))
        };
        let archive = text.strip_suffix(ENCRYPTED_SUFFIX).unwrap_or(text);
        let name_is_given = !archive.ends_with(&format!("/{ARCHIVE_SUFFIX}"));
        if text.len() <= LONGEST_KEY
            && archive.ends_with(ARCHIVE_SUFFIX)
            && name_is_given
            && text.split('/').all(segment_is_plain)
        {
            Ok(Self(text.to_owned()))
        } else {
            let shown: String = text.chars().take(LONGEST_KEY).collect();
            Err(InvalidKey(shown))
        }
    }

    /// The key of a copy of this archive in another storage, made under another lease: all but the token is the same.
    #[must_use]
    pub fn with_token(&self, token: Uuid) -> Self {
        let (folder, name) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        let kind = name.split_once('.').map_or("", |(_, kind)| kind);
        Self(format!("{folder}/{token}.{kind}"))
    }

    /// As rows and manifests write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the manifest that makes this archive a backup.
    pub fn manifest(&self) -> String {
        format!("{}{MANIFEST_SUFFIX}", self.0)
    }

    /// The key of the roles and tablespaces that may be beside this archive.
    pub fn globals(&self) -> String {
        let (archive, encrypted) = match self.0.strip_suffix(ENCRYPTED_SUFFIX) {
            Some(archive) => (archive, ENCRYPTED_SUFFIX),
            None => (self.0.as_str(), ""),
        };
        let stem = archive.strip_suffix(ARCHIVE_SUFFIX).unwrap_or(archive);
        format!("{stem}{GLOBALS_SUFFIX}{encrypted}")
    }

    /// Whether a job of this queue stored it.
    pub fn is_of_queue(&self, queue_id: Uuid) -> bool {
        self.0.split('/').next() == Some(queue_id.to_string().as_str())
    }

    /// Whether this is the key of an attempt of this job.
    pub(super) fn is_of(&self, job: Uuid) -> bool {
        self.0.rsplit('/').nth(1) == Some(job.to_string().as_str())
    }

    pub(super) fn path(&self) -> Path {
        checked_path(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0
    }
}

fn checked_path(key: &str) -> Path {
    Path::parse(key).expect("a key's segments are plain: `parse` and `new` make no others")
}

/// The target's name as one segment: letters, digits, `_`, `-` and inner dots stay, every other byte becomes `%XX`.
fn encode_target(target: &str) -> String {
    let mut encoded = String::new();
    for (at, byte) in target.bytes().enumerate() {
        match byte {
            b'.' if at > 0 => encoded.push('.'),
            b if b.is_ascii_alphanumeric() || b == b'_' || b == b'-' => encoded.push(char::from(b)),
            b => write!(encoded, "%{b:02X}").expect("writing to a String cannot fail"),
        }
    }
    if encoded.len() <= LONGEST_TARGET && !encoded.is_empty() {
        return encoded;
    }
    let hash = hex(&Sha256::digest(target.as_bytes())[..8]);
    encoded.truncate(LONGEST_TARGET - hash.len() - 1);
    format!("{encoded}={hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(target: &str) -> ObjectKey {
        let started = DateTime::parse_from_rfc3339("2026-03-31T23:30:00-02:00").unwrap();
        ObjectKey::new(
            Uuid::from_u128(1),
            target,
            Uuid::from_u128(2),
            Uuid::from_u128(3),
            started.to_utc(),
        )
    }

    #[test]
    fn a_key_names_queue_target_month_job_and_token() {
        assert_eq!(
            key_of("shop/orders").as_str(),
            "00000000-0000-0000-0000-000000000001/shop%2Forders/2026/04/\
             00000000-0000-0000-0000-000000000002/00000000-0000-0000-0000-000000000003.dump"
        );
    }

    #[test]
    fn a_copy_lies_in_the_same_directory_under_its_own_token() {
        let copy = key_of("shop").with_token(Uuid::from_u128(4));
        let original = key_of("shop").to_string();
        let expected = original.replace(
            &Uuid::from_u128(3).to_string(),
            &Uuid::from_u128(4).to_string(),
        );
        assert_eq!(copy.as_str(), expected);
        assert_eq!(ObjectKey::parse(copy.as_str()).unwrap(), copy);
        assert!(copy.is_of(Uuid::from_u128(2)));
    }

    #[test]
    fn every_target_gives_a_key_that_parses_and_no_two_share_one() {
        let long = "ü".repeat(100);
        let longer = "ü".repeat(101);
        let targets = [
            "", ".", "..", "../..", "a/b", "a%2Fb", "a b", "A", "a", ".a", "=", "\0", &long,
            &longer,
        ];
        let mut keys = std::collections::BTreeSet::new();
        for target in targets {
            let key = key_of(target);
            assert_eq!(ObjectKey::parse(key.as_str()).unwrap(), key, "{target:?}");
            assert_eq!(key.path().as_ref(), key.as_str());
            let encrypted = key.clone().encrypted();
            assert_eq!(encrypted.as_str(), format!("{key}.age"));
            assert_eq!(encrypted.globals(), format!("{}.age", key.globals()));
            for key in [&key, &encrypted] {
                assert_eq!(ObjectKey::parse(key.as_str()).unwrap(), *key);
            }
            let segment = key.as_str().split('/').nth(1).unwrap().len();
            assert!((1..=LONGEST_TARGET).contains(&segment), "{target:?}");
            assert!(keys.insert(key), "{target:?}");
        }
    }

    #[test]
    fn what_leads_out_of_the_storage_is_no_key() {
        for text in [
            "",
            "/",
            ".dump",
            "a/.dump",
            "/a.dump",
            "../a.dump",
            "a/../b.dump",
            "a//b.dump",
            "a/./b.dump",
            "a.dump/",
            "a\\b.dump",
            "a\0.dump",
            "a#1.dump",
            "a.dump.manifest.json",
            "a.age",
            "a.dump.age.age",
            "a/.dump.age",
            ".dump.age",
            "ü.dump",
        ] {
            assert!(ObjectKey::parse(text).is_err(), "{text:?}");
        }
        assert!(ObjectKey::parse(&format!("{}.dump", "a".repeat(2000))).is_err());
    }
}

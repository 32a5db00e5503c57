//! What is written last and makes a backup exist. `docs/MANIFEST.md` documents every field; a test compares.

mod bounded;
mod checksum;
pub(super) mod comparison;
pub(super) mod sealed;
pub(super) mod text;

use chrono::{DateTime, Utc};
use pgdumpd_client::BackupSpec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::ObjectKey;
use crate::code::Code;
use crate::compressor::Compressor;
use crate::encryption::ManifestForm;
use crate::fault::Fault;
use sealed::Sealed;

/// The newest manifest that this build understands, and the one it writes. From 2 on a manifest carries a checksum.
pub const FORMAT: u32 = 2;
/// Warnings kept in a manifest; `warnings_total` counts them all.
pub const MAX_WARNINGS: usize = 100;
/// Bytes kept of one warning.
pub(super) const LONGEST_WARNING: usize = 2000;

/// A backup, as its storage knows it: enough to find, check and restore it without the queue.
///
/// Sizes are bytes, times are RFC 3339 in UTC. A field that is not known is null. A reader ignores fields that
/// it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The backup's id: its job's.
    pub backup_id: Uuid,
    /// The queue that the job came from.
    pub queue_id: Uuid,
    /// The storage that this was written to first.
    pub storage_id: Uuid,
    /// The target's name in the configuration.
    #[serde(deserialize_with = "bounded::text")]
    pub target: String,
    /// The word that the producer gave.
    #[serde(default, deserialize_with = "bounded::text_or_null")]
    pub label: Option<String>,
    /// The database role that asked.
    #[serde(deserialize_with = "bounded::text")]
    pub requested_by: String,
    /// 1 for the job's first attempt.
    pub attempt: i16,
    /// The claim under which this was made.
    pub lease_token: Uuid,
    /// When the attempt was claimed, by the queue's clock: the order of backups, which a rebuilt queue keeps. Older
    /// manifests do not say it.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When pg_dump was started, by the daemon's clock.
    pub started_at: DateTime<Utc>,
    /// When the archive was whole.
    pub finished_at: DateTime<Utc>,
    /// What was dumped.
    pub database: Database,
    /// What dumped it.
    pub pg_dump: PgDump,
    /// Which part of the database was asked for.
    pub spec: Filters,
    /// Whether any filter was given, so that this is not the whole database.
    pub partial: bool,
    /// What the stream turned out to be.
    pub archive: Archive,
    /// Who can read it; everybody, if none.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// Where it is.
    pub object: Object,
    /// The roles and tablespaces beside it; `None` if the target's configuration asked for none.
    #[serde(default)]
    pub globals: Option<Globals>,
    /// pg_dump's warnings, redacted; the first [`MAX_WARNINGS`].
    #[serde(deserialize_with = "bounded::warnings")]
    pub warnings: Vec<String>,
    /// How many there were.
    pub warnings_total: u32,
    /// How to get the data back.
    pub restore: Restore,
    /// Who made this.
    pub daemon: Daemon,
    /// In a sealed manifest, what the fields above leave out; none in one that is yet to be sealed.
    #[serde(default)]
    pub sealed: Option<Sealed>,
    /// Where this copy came from; none of a backup that was dumped here.
    pub copied: Option<Copied>,
}

/// Where a copy in this storage came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The storage that it was read from.
    pub from_storage_id: Uuid,
    /// The job that made it.
    pub job_id: Uuid,
    /// When the whole object had been read and compared.
    pub copied_at: DateTime<Utc>,
}

/// The dumped database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name on the server.
    #[serde(deserialize_with = "bounded::text")]
    pub name: String,
    /// As `SHOW server_version` says it.
    #[serde(deserialize_with = "bounded::text")]
    pub server_version: String,
    /// The cluster's, in decimal: it does not fit JSON's numbers.
    #[serde(default, deserialize_with = "bounded::text_or_null")]
    pub system_identifier: Option<String>,
}

/// The pg_dump that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgDump {
    /// As `pg_dump --version` says it, the number alone.
    #[serde(deserialize_with = "bounded::text")]
    pub version: String,
    /// Its exact arguments, without the program itself; never a password.
    #[serde(deserialize_with = "bounded::list")]
    pub arguments: Vec<String>,
}

/// What the job asked for, as pg_dump's patterns. See [`BackupSpec`].
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// `--schema`
    #[serde(deserialize_with = "bounded::list")]
    pub schemas: Vec<String>,
    /// `--exclude-schema`
    #[serde(deserialize_with = "bounded::list")]
    pub exclude_schemas: Vec<String>,
    /// `--table`
    #[serde(deserialize_with = "bounded::list")]
    pub tables: Vec<String>,
    /// `--exclude-table`
    #[serde(deserialize_with = "bounded::list")]
    pub exclude_tables: Vec<String>,
    /// `--exclude-table-data`
    #[serde(deserialize_with = "bounded::list")]
    pub exclude_table_data: Vec<String>,
}

impl Filters {
    /// The same filters in one order: their order means nothing to pg_dump.
    pub fn sorted(mut self) -> Self {
        for patterns in [
            &mut self.schemas,
            &mut self.exclude_schemas,
            &mut self.tables,
            &mut self.exclude_tables,
            &mut self.exclude_table_data,
        ] {
            patterns.sort();
            patterns.dedup();
        }
        self
    }
}

impl From<&BackupSpec> for Filters {
    fn from(spec: &BackupSpec) -> Self {
        Self {
            schemas: spec.schemas.clone(),
            exclude_schemas: spec.exclude_schemas.clone(),
            tables: spec.tables.clone(),
            exclude_tables: spec.exclude_tables.clone(),
            exclude_table_data: spec.exclude_table_data.clone(),
        }
    }
}

/// Whether the archive was walked to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveState {
    /// It is whole: every entry that owes data delivered it.
    Proved,
    /// It was stored as it came: this build cannot read its version.
    Unread,
}

/// What is known of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// `proved` or `unread`.
    pub state: ArchiveState,
    /// Why it was not read.
    #[serde(default, deserialize_with = "bounded::text_or_null")]
    pub unread_reason: Option<String>,
    /// The archive format's version, such as `1.16`.
    #[serde(default, deserialize_with = "bounded::text_or_null")]
    pub format_version: Option<String>,
    /// As configuration writes it, such as `zstd:1`.
    #[serde(deserialize_with = "bounded::text")]
    pub compression: String,
    /// Who compressed.
    #[serde(default)]
    pub compressor: Compressor,
    /// Its size before it was encrypted; the object's, if not said.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// Bytes that pg_dump wrote.
    pub dump_bytes: u64,
    /// Entries of the table of contents.
    pub entries: Option<u64>,
    /// Tables with data.
    pub tables: Option<u64>,
    /// Rows of all of them; `None` if not all can be counted.
    pub rows: Option<u64>,
    /// Large objects.
    pub large_objects: Option<u64>,
    /// Bytes of rows and large objects before compression.
    pub raw_bytes: Option<u64>,
}

/// How the stored object is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `age`: the format of age-encryption.org/v1.
    #[serde(deserialize_with = "bounded::text")]
    pub format: String,
    /// The public keys that it was encrypted to.
    #[serde(deserialize_with = "bounded::list")]
    pub recipients: Vec<String>,
    /// Whether this manifest shows what is inside the database.
    pub manifest: ManifestForm,
}

/// The stored object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its key in the storage.
    pub key: ObjectKey,
    /// Its size.
    pub size_bytes: u64,
    /// Of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// The server's roles and tablespaces, as SQL for psql.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Globals {
    /// Their key in the storage.
    pub key: String,
    /// Their size.
    pub size_bytes: u64,
    /// Of their bytes, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Whether the roles' passwords are among them, as the server keeps them.
    pub passwords: bool,
}

/// How to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The oldest pg_restore that reads the archive.
    pub minimum_pg_restore: Option<u16>,
    /// A command to start from.
    #[serde(deserialize_with = "bounded::text")]
    pub hint: String,
}

/// The daemon that made the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// pgdumpd's version.
    #[serde(deserialize_with = "bounded::text")]
    pub version: String,
    /// Its host's name.
    #[serde(deserialize_with = "bounded::text")]
    pub host: String,
}

impl Manifest {
    /// The archive's size, decrypted.
    pub fn archive_bytes(&self) -> u64 {
        self.archive.size_bytes.unwrap_or(self.object.size_bytes)
    }

    /// Whether it was read with a checksum of its own, and is what was written.
    pub fn has_checksum(&self) -> bool {
        self.format > 1
    }

    /// Whether it is of a kind that shows nothing of what is inside the database.
    pub fn is_sealed(&self) -> bool {
        let sealed = |encryption: &Encryption| encryption.manifest == ManifestForm::Sealed;
        self.encryption.as_ref().is_some_and(sealed)
    }

    pub(super) fn check(&self, key: &ObjectKey) -> Result<(), Fault> {
        let digits = self.object.sha256.as_bytes();
        let lower_hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.iter().all(lower_hex) {
            return Err(invalid(key, "has no SHA-256"));
        }
        self.compare_with_key(key)
    }
}

pub(super) fn invalid(key: &ObjectKey, what: &str) -> Fault {
    Fault::permanent(Code::ManifestInvalid, format!("{} {what}", key.manifest())).hint(
        "The archive beside it may still be whole. `pgdumpd fetch` takes it from another storage that holds it; by hand, \
         compare `sha256sum` of the archive with the sha256 of `pgdumpd status ID`, and restore it with pg_restore.",
    )
}

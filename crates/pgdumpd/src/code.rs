//! The stable word for each kind of failure. docs/ERRORS.md explains all of them to operators; a test compares.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Defines [`Code`] with the word of each variant.
macro_rules! codes {
    ($($(#[$doc:meta])+ $code:ident = $word:literal,)+) => {
        /// What a row, a log line or a check calls a failure. The words are part of the interface, and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])+ $code,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The word, such as `authentication_failed`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)+
                }
            }
        }
    };
}

codes! {
    /// `pg_dump` exited with 0, but two parts of its archive have the same number, or one table's rows are in two
    /// parts: `pg_restore` would confuse them.
    ArchiveAmbiguous = "archive_ambiguous",
    /// What `pg_dump` wrote is not an archive, or a table's rows in it are cut, run together or have no end.
    ArchiveCorrupt = "archive_corrupt",
    /// What was read is not what was stored.
    ArchiveDamaged = "archive_damaged",
    /// `pg_dump` exited with 0, but its archive is cut or lacks data.
    ArchiveIncomplete = "archive_incomplete",
    /// The encrypted data ends too early.
    ArchiveTruncated = "archive_truncated",
    /// The archive cannot be read, even where it does not have to be parsed.
    ArchiveUnreadable = "archive_unreadable",
    /// User or password is refused.
    AuthenticationFailed = "authentication_failed",
    /// The backup is not the one that the queue recorded: an older or another one may be in its place.
    BackupDiffers = "backup_differs",
    /// The object store has no such bucket or container.
    BucketMissing = "bucket_missing",
    /// This `pg_dump` cannot compress with zstd, and has to.
    CompressionUnsupported = "compression_unsupported",
    /// `pg_dump`'s connection broke.
    ConnectionLost = "connection_lost",
    /// The storage to copy to is one that already holds the backup, under another name.
    CopySameStorage = "copy_same_storage",
    /// The backup's storage is not configured here, or another one has its name.
    CopySourceAway = "copy_source_away",
    /// The stored backup is not what its manifest says; nothing was copied.
    CopySourceDamaged = "copy_source_damaged",
    /// The storage does not hold the backup that it should hold.
    CopySourceMissing = "copy_source_missing",
    /// The daemon sent no more heartbeats.
    DaemonDied = "daemon_died",
    /// For another daemon this target has another database, storage, key or rule; the error names both.
    DaemonsDiffer = "daemons_differ",
    /// The server finds a damaged page or value while `pg_dump` reads.
    DataCorrupted = "data_corrupted",
    /// The database allows no connections.
    DatabaseClosed = "database_closed",
    /// The database to restore into is not empty.
    DatabaseNotEmpty = "database_not_empty",
    /// The archive is from another database than the target's.
    DatabaseDiffers = "database_differs",
    /// The database does not exist.
    DatabaseMissing = "database_missing",
    /// Somebody cancelled `pg_dump`'s query.
    DumpCancelledOnServer = "dump_cancelled_on_server",
    /// `pg_dump` failed; `error` has its message.
    DumpFailed = "dump_failed",
    /// `pg_dump` exited with 0, but its archive lacks tables, rows, sequences or large objects that existed before
    /// and after the dump.
    DumpIncomplete = "dump_incomplete",
    /// A signal from outside ended `pg_dump`.
    DumpKilled = "dump_killed",
    /// The process could not be started.
    DumpNotStarted = "dump_not_started",
    /// The pipe from `pg_dump` broke.
    DumpReadFailed = "dump_read_failed",
    /// No byte for `stall_timeout`, or no exit after the end of the output.
    DumpStalled = "dump_stalled",
    /// This daemon stopped it; the log has the reason.
    DumpStopped = "dump_stopped",
    /// The archive or its manifest cannot be encrypted.
    EncryptionFailed = "encryption_failed",
    /// A file of that name exists.
    FileExists = "file_exists",
    /// The local file cannot be written.
    FileFailed = "file_failed",
    /// An exclusion matches nothing, and the target has `strict_filters = true`.
    FilterMatchesNothing = "filter_matches_nothing",
    /// The roles and tablespaces are missing, or not what the manifest says.
    GlobalsDamaged = "globals_damaged",
    /// `pg_dumpall` exited with 0, but its output has no end.
    GlobalsIncomplete = "globals_incomplete",
    /// The roles and tablespaces have more than 64 MiB.
    GlobalsTooLarge = "globals_too_large",
    /// An identity file contains no X25519 identity, or is protected by a passphrase.
    IdentityInvalid = "identity_invalid",
    /// The backup is encrypted to other keys.
    IdentityMismatch = "identity_mismatch",
    /// The backup is encrypted.
    IdentityNeeded = "identity_needed",
    /// An identity file cannot be read.
    IdentityUnreadable = "identity_unreadable",
    /// The backup's manifest has no index: the archive was stored unread, or has too many tables.
    IndexMissing = "index_missing",
    /// An error in pgdumpd itself.
    Internal = "internal",
    /// An attempt's key is malformed; what a lost attempt left is not removed.
    KeyUnreadable = "key_unreadable",
    /// A lock was not granted within `lock_wait_timeout`; the error names its holder.
    LockNotAvailable = "lock_not_available",
    /// Too many tables for the server's lock table.
    LockTableFull = "lock_table_full",
    /// A manifest cannot be read, is not what was written, or does not fit its key, storage or archive.
    ManifestInvalid = "manifest_invalid",
    /// A manifest is from a newer pgdumpd; for a copy, it has a field that this version would lose.
    ManifestNewer = "manifest_newer",
    /// A value or name has bytes that its database's encoding does not allow, or that UTF-8 lacks.
    NotConvertible = "not_convertible",
    /// The job's filters match nothing, or leave nothing.
    NothingMatched = "nothing_matched",
    /// The object is missing, has another size than was sent, or something else is in its place.
    ObjectMissing = "object_missing",
    /// The backup role lacks a right.
    PermissionDenied = "permission_denied",
    /// No `pg_dump` was found.
    PgDumpMissing = "pg_dump_missing",
    /// Only older versions of `pg_dump` were found.
    PgDumpTooOld = "pg_dump_too_old",
    /// The directory of `pg_dump` does not contain `pg_dumpall`.
    PgDumpallMissing = "pg_dumpall_missing",
    /// `pg_restore` did not run to its end; the error has its message.
    PgRestoreFailed = "pg_restore_failed",
    /// The directory of `pg_dump` does not contain `pg_restore`.
    PgRestoreMissing = "pg_restore_missing",
    /// The target's address leads to a connection pooler.
    PoolerInFront = "pooler_in_front",
    /// The queue was cloned, and the clone was adopted.
    QueueAdopted = "queue_adopted",
    /// The queue could not be reached while something was to be repaired.
    QueueFailed = "queue_failed",
    /// The standby had to cancel the dump's query.
    RecoveryConflict = "recovery_conflict",
    /// A backup cannot be rehearsed here: no server of its own can be made.
    RehearsalRefused = "rehearsal_refused",
    /// The database cannot be restored into as asked, or the server refused what every table needs.
    RestoreRefused = "restore_refused",
    /// Row security hides rows from the role.
    RowSecurity = "row_security",
    /// The server is older than PostgreSQL 14.
    ServerTooOld = "server_too_old",
    /// An earlier dump's session does not end.
    SessionRemains = "session_remains",
    /// The job's spec is malformed; the error names the key.
    SpecInvalid = "spec_invalid",
    /// The daemon's user, or its credentials, may not do that there.
    StorageDenied = "storage_denied",
    /// Another error of the storage.
    StorageFailed = "storage_failed",
    /// The directory contains other files and no marker.
    StorageForeign = "storage_foreign",
    /// No room is left, or less than `min_free` would be left.
    StorageFull = "storage_full",
    /// A temporary file could not be removed.
    StorageLeftover = "storage_leftover",
    /// The marker cannot be read.
    StorageMarkerInvalid = "storage_marker_invalid",
    /// The storage's keys do not fit together, or its credentials cannot be read.
    StorageMisconfigured = "storage_misconfigured",
    /// The server reports that the bucket is elsewhere.
    StorageMisdirected = "storage_misdirected",
    /// The storage does not exist, or no longer.
    StorageMissing = "storage_missing",
    /// The marker is from a newer pgdumpd.
    StorageNewer = "storage_newer",
    /// The file system is mounted read-only, or is read-only for the unit.
    StorageReadonly = "storage_readonly",
    /// There is another storage than the one that this daemon knew, or the path leads to another directory than when
    /// the attempt began.
    StorageReplaced = "storage_replaced",
    /// The storage accepted no byte, or gave no answer, for `stall_timeout`; with an object store, in every try until
    /// its `request_deadline`.
    StorageStalled = "storage_stalled",
    /// The storage of the target, or of the copy, is no longer configured here.
    StorageUnknown = "storage_unknown",
    /// The object store's server does not answer.
    StorageUnreachable = "storage_unreachable",
    /// The storage has another size than was sent.
    StoredSizeDiffers = "stored_size_differs",
    /// After `pg_dump` took its snapshot and before it copied the table, the table was emptied, rewritten, dropped
    /// and created again, or renamed; the archive would lack its rows.
    TableReplaced = "table_replaced",
    /// The backup has no such table, or it is not a table.
    TableUnknown = "table_unknown",
    /// The target's address cannot be used.
    TargetMisconfigured = "target_misconfigured",
    /// A query on the target failed.
    TargetQueryFailed = "target_query_failed",
    /// The server refuses the connection for a reason that does not pass.
    TargetRefused = "target_refused",
    /// A query on the target took longer than a minute.
    TargetSlow = "target_slow",
    /// The server is starting, stopping or recovering.
    TargetStarting = "target_starting",
    /// The target was removed from the configuration after the claim.
    TargetUnknown = "target_unknown",
    /// The server does not answer.
    TargetUnreachable = "target_unreachable",
    /// The dump took longer than the job's or the target's `timeout`.
    Timeout = "timeout",
    /// No TLS connection as `sslmode` requires it.
    TlsFailed = "tls_failed",
    /// A connection limit is reached.
    TooManyConnections = "too_many_connections",
    /// The archive outgrew the number of parts that the server allows, with the part size chosen at the start.
    UploadTooLarge = "upload_too_large",
    /// A value or a row has more bytes, as COPY writes it, than PostgreSQL can send: one gigabyte.
    ValueTooLarge = "value_too_large",
}

impl Code {
    /// Whether a manifest cannot be read: the backup beside it may still be whole.
    pub fn is_of_a_manifest(self) -> bool {
        matches!(self, Self::ManifestInvalid | Self::ManifestNewer)
    }

    /// Whether a stored backup is not what was stored.
    pub fn is_of_a_damage(self) -> bool {
        matches!(
            self,
            Self::ArchiveDamaged
                | Self::ArchiveTruncated
                | Self::BackupDiffers
                | Self::CopySourceDamaged
                | Self::CopySourceMissing
                | Self::GlobalsDamaged
                | Self::ManifestInvalid
                | Self::ObjectMissing
        )
    }

    /// Whether a storage is at fault: its server, its directory, or what it is configured to be.
    pub fn is_of_a_storage(self) -> bool {
        matches!(
            self,
            Self::BucketMissing
                | Self::CopySourceAway
                | Self::CopySourceDamaged
                | Self::CopySourceMissing
                | Self::ObjectMissing
                | Self::StorageDenied
                | Self::StorageFailed
                | Self::StorageForeign
                | Self::StorageFull
                | Self::StorageLeftover
                | Self::StorageMarkerInvalid
                | Self::StorageMisconfigured
                | Self::StorageMisdirected
                | Self::StorageMissing
                | Self::StorageNewer
                | Self::StorageReadonly
                | Self::StorageReplaced
                | Self::StorageStalled
                | Self::StorageUnknown
                | Self::StorageUnreachable
                | Self::StoredSizeDiffers
                | Self::UploadTooLarge
        )
    }

    /// Whether the stream of an archive is at fault: such a fault's causes name tables.
    pub fn is_of_an_archive(self) -> bool {
        matches!(
            self,
            Self::ArchiveAmbiguous
                | Self::ArchiveCorrupt
                | Self::ArchiveDamaged
                | Self::ArchiveIncomplete
                | Self::ArchiveTruncated
                | Self::ArchiveUnreadable
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Code> for Cow<'static, str> {
    fn from(code: Code) -> Self {
        Cow::Borrowed(code.as_str())
    }
}

/// Not the word of any code.
#[derive(Debug, thiserror::Error)]
#[error("unknown error code")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(word: &str) -> Result<Self, UnknownCode> {
        let mut all = Self::ALL.iter().copied();
        all.find(|code| code.as_str() == word).ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_codes_share_a_word_and_each_is_found_by_it() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse::<Code>().unwrap(), *code);
        }
        assert!("no_such_word".parse::<Code>().is_err());
    }
}

//! Puts a backup's manifest together from what its steps proved.

use chrono::{DateTime, Utc};
use pgdump_archive::ArchiveVersion;
use pgdumpd_client::BackupSpec;
use uuid::Uuid;

use super::globals;
use crate::compression::Compression;
use crate::config::EncryptionConfig;
use crate::dump::{CleanExit, Plan};
use crate::pipeline::{ArchiveEnd, Streamed};
use crate::queue::{ClaimedJob, Worker};
use crate::server::Target;
use crate::spec;
use crate::store::{
    Archive, ArchiveState, Copied, Counts, Daemon, Database, Encryption, FORMAT, Globals, Manifest,
    Object, ObjectKey, PgDump, Restore,
};

/// What is known by the time of publishing.
pub(super) struct Facts<'a> {
    pub(super) queue_id: Uuid,
    pub(super) job: &'a ClaimedJob,
    pub(super) worker: &'a Worker,
    pub(super) storage_id: Uuid,
    pub(super) target: &'a Target,
    pub(super) plan: &'a Plan,
    pub(super) spec: &'a BackupSpec,
    pub(super) key: &'a ObjectKey,
    pub(super) started_at: DateTime<Utc>,
    pub(super) globals: Option<&'a globals::Dumped>,
    pub(super) exit: &'a CleanExit,
    pub(super) streamed: &'a Streamed,
    /// What the comparison with the database found to be said.
    pub(super) remarks: &'a [String],
    pub(super) encryption: Option<&'a EncryptionConfig>,
}

/// The time by this host's clock, for people: nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(super) fn hosts_clock() -> DateTime<Utc> {
    Utc::now()
}

pub(super) fn write(facts: &Facts<'_>) -> Manifest {
    let Facts {
        job,
        target,
        plan,
        spec,
        streamed,
        ..
    } = facts;
    let warnings = facts.exit.warnings();
    let mut caveats = plan.caveats();
    caveats.extend_from_slice(facts.remarks);
    if let Some(index) = streamed.index()
        && index.entries.is_empty()
        && !spec::is_partial(spec)
    {
        caveats.push(format!(
            "the database \"{}\" holds no table and no large object: is it the one that is meant?",
            plan.url().database()
        ));
    }
    let warnings_total = warnings
        .total
        .saturating_add(u32::try_from(caveats.len()).unwrap_or(u32::MAX));
    let minimum = minimum_pg_restore(plan, streamed);
    Manifest {
        format: FORMAT,
        backup_id: job.lease.job,
        queue_id: facts.queue_id,
        storage_id: facts.storage_id,
        target: job.target.clone(),
        label: spec.label.clone(),
        requested_by: job.requested_by.clone(),
        attempt: job.lease.attempt,
        lease_token: job.lease.token,
        claimed_at: Some(job.claimed_at),
        started_at: facts.started_at,
        finished_at: hosts_clock(),
        database: Database {
            name: plan.url().database().to_owned(),
            server_version: server_version(target, streamed),
            system_identifier: target.system_identifier().map(|id| id.to_string()),
        },
        pg_dump: PgDump {
            version: plan.program().version().to_string(),
            arguments: plan.arguments(),
        },
        spec: (*spec).into(),
        partial: spec::is_partial(spec),
        archive: archive(plan, streamed),
        encryption: facts.encryption.map(|own| Encryption {
            format: "age".to_owned(),
            recipients: own.encrypt_to.texts(),
            manifest: own.manifest,
        }),
        sealed: None,
        object: Object {
            key: facts.key.clone(),
            size_bytes: streamed.size(),
            sha256: streamed.sha256().to_owned(),
        },
        globals: facts
            .globals
            .map(|globals| Globals::of(facts.key, &globals.stored, globals.passwords)),
        warnings: caveats
            .into_iter()
            .chain(warnings.texts.iter().cloned())
            .collect(),
        warnings_total,
        restore: Restore {
            minimum_pg_restore: Some(minimum),
            hint: hint(minimum, facts.encryption.is_some()),
        },
        daemon: Daemon {
            version: facts.worker.version.clone(),
            host: facts.worker.host.clone(),
        },
        copied: None,
    }
}

/// As the archive says it; as the server said it to us where the archive could not be read.
fn server_version(target: &Target, streamed: &Streamed) -> String {
    match streamed.end() {
        ArchiveEnd::Proved(proved) => proved.header().server_version.to_string(),
        ArchiveEnd::Unread(_) => target.server_version().to_owned(),
    }
}

/// The manifest of a copy: the original's, but for where the object is, and how it came there.
pub(super) fn of_copy(
    original: &Manifest,
    key: ObjectKey,
    from_storage_id: Uuid,
    job: Uuid,
) -> Manifest {
    Manifest {
        format: FORMAT,
        object: Object {
            key: key.clone(),
            ..original.object.clone()
        },
        globals: original.globals.as_ref().map(|globals| Globals {
            key: key.globals(),
            ..globals.clone()
        }),
        copied: Some(Copied {
            from_storage_id,
            job_id: job,
            copied_at: hosts_clock(),
        }),
        ..original.clone()
    }
}

fn hint(minimum: u16, encrypted: bool) -> String {
    let restore = if encrypted {
        "age --decrypt --identity IDENTITY FILE | pg_restore --dbname=EMPTY_DATABASE"
    } else {
        "pg_restore --dbname=EMPTY_DATABASE FILE"
    };
    format!("{restore}, with pg_restore {minimum} or newer")
}

fn archive(plan: &Plan, streamed: &Streamed) -> Archive {
    let (state, unread_reason, proved) = match streamed.end() {
        ArchiveEnd::Proved(proved) => (ArchiveState::Proved, None, Some(proved)),
        ArchiveEnd::Unread(unread) => {
            (ArchiveState::Unread, Some(unread.reason().to_owned()), None)
        }
    };
    let counts = streamed.index().map(|index| Counts::of(index));
    Archive {
        state,
        unread_reason,
        format_version: proved.map(|proved| proved.header().version.to_string()),
        compression: plan.compression().to_string(),
        compressor: plan.compressor(),
        size_bytes: Some(streamed.archive_bytes()),
        dump_bytes: streamed.dump_bytes(),
        entries: proved.map(|proved| proved.proof().entries as u64),
        tables: proved.map(|proved| proved.proof().tables as u64),
        rows: counts.and_then(|counts| counts.rows),
        large_objects: counts.and_then(|counts| counts.large_objects),
        raw_bytes: counts.and_then(|counts| counts.raw_bytes),
    }
}

/// pg_restore reads archives of its own version and older ones; lz4 and zstd from 16 on.
fn minimum_pg_restore(plan: &Plan, streamed: &Streamed) -> u16 {
    let by_version = match streamed.end() {
        ArchiveEnd::Proved(proved) => match proved.header().version {
            ArchiveVersion {
                major: 1,
                minor: ..=14,
                ..
            } => 12,
            ArchiveVersion {
                major: 1,
                minor: 15,
                ..
            } => 16,
            _ => 17,
        },
        ArchiveEnd::Unread(_) => u16::try_from(plan.program().major()).unwrap_or(u16::MAX),
    };
    match plan.compression() {
        Compression::Zstd(_) => by_version.max(16),
        Compression::Auto | Compression::None | Compression::Gzip(_) => by_version,
    }
}

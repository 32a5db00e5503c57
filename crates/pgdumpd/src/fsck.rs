//! The check of everything: rows against objects against manifests against unfinished uploads.
//!
//! A storage is listed first and the queue asked after that: an attempt records its key before it stores anything, so
//! whatever was listed is known by then. What was stored or deleted between the two looks like a fault, so every
//! finding is checked twice. `judge` holds the rules, `repair` checks each object once more before it touches it,
//! `rebuild` recreates the rows of a lost queue.

mod finding;
mod judge;
mod rebuild;
mod repair;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use uuid::Uuid;

pub use self::finding::{Finding, Remedy};
pub use self::judge::{Age, StorageContents, StorageReport, judge};
pub use self::rebuild::{Held, RebuildError, Rebuilt, rebuild};
pub use self::repair::{Repaired, repair};
use crate::fault::Fault;
use crate::finding::Severity;
use crate::queue::{Queue, QueueError};
use crate::store::{Listed, Name, PartKind, Storage};

/// Why a storage was not checked.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The storage cannot be listed or read.
    #[error(transparent)]
    Storage(#[from] Fault),
    /// The queue cannot be queried, so no storage can be checked.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Checks a storage; what is younger than `safe_age` counts as in progress.
///
/// If there are findings, everything is read a second time: a daemon may have stored or deleted a backup after the
/// storage was read and before the queue was. Only findings of both readings are reported.
///
/// # Errors
/// See [`ExamineError`].
pub async fn examine(
    storage: &Storage,
    queue: &Queue,
    safe_age: TimeDelta,
) -> Result<StorageReport, ExamineError> {
    let first = examine_once(storage, queue, safe_age).await?;
    if first.findings.iter().all(|f| f.severity == Severity::Ok) {
        return Ok(first);
    }
    let second = examine_once(storage, queue, safe_age).await?;
    Ok(second.confirming(&first))
}

async fn examine_once(
    storage: &Storage,
    queue: &Queue,
    safe_age: TimeDelta,
) -> Result<StorageReport, ExamineError> {
    let contents = read_contents(storage, queue.id()).await?;
    let audit = queue.audit(contents.id, &contents.traces()).await?;
    let age = Age {
        now: audit.now,
        safe: safe_age,
    };
    Ok(judge(queue.id(), &contents, &audit, age))
}

/// Lists everything in a storage, and reads the manifests of one queue.
///
/// # Errors
/// The storage's.
async fn read_contents(storage: &Storage, queue_id: Uuid) -> Result<StorageContents, Fault> {
    let objects = storage.all_objects(None).await?;
    let keys = objects
        .iter()
        .filter_map(|object| match Name::of(&object.key) {
            Name::Part(part)
                if part.queue_id == queue_id
                    && part.kind == PartKind::Manifest
                    && !part.temporary =>
            {
                Some((part.archive, object.size_bytes))
            }
            _ => None,
        });
    let mut manifests = BTreeMap::new();
    for Listed { key, manifest } in storage.read_manifests(keys.collect()).await {
        match manifest {
            Err(fault) if !fault.code().is_of_a_manifest() => return Err(fault),
            read => manifests.insert(key, read),
        };
    }
    storage.confirm().await?;
    Ok(StorageContents {
        name: storage.name().to_owned(),
        id: storage.id(),
        objects,
        manifests,
        uploads: storage.unfinished_uploads(queue_id).await?,
    })
}

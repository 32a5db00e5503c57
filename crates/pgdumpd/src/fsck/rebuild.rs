//! Makes the rows of a lost queue anew, from what its backups' manifests say.

use std::collections::BTreeMap;

use pgdumpd_client::BackupSpec;
use uuid::Uuid;

use crate::queue::{KnownBackup, Queue, QueueError};
use crate::store::{Manifest, Name, Part};

/// Rows made by one statement.
const BATCH: usize = 200;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The queue's id from now on.
    pub queue_id: Uuid,
    /// Backups in the storages.
    pub found: usize,
    /// Jobs that were not there before.
    pub jobs: u64,
    /// Copies that were not there before.
    pub copies: u64,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The storages hold no backup that can be read (of that queue).
    #[error("the storages hold no backup to rebuild from")]
    NothingFound,
    /// They hold backups of more than one queue, and none was chosen.
    #[error("the storages hold backups of several queues: {}", counted(.0))]
    SeveralQueues(BTreeMap<Uuid, usize>),
    /// The queue is in use.
    #[error("the queue is not empty: {0} of its jobs are none of these backups'")]
    NotEmpty(u64),
    /// Daemons were seen within their lease.
    #[error("{0} daemons are alive in this queue")]
    DaemonsAlive(usize),
    /// Somebody else changed it meanwhile.
    #[error("the queue has changed in this very moment")]
    Changed,
    /// The queue's database.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

fn counted(queues: &BTreeMap<Uuid, usize>) -> String {
    let counted: Vec<String> = queues.iter().map(|(id, n)| format!("{id} ({n})")).collect();
    counted.join(", ")
}

/// Rebuilds from these manifests, each with the name and id of the storage that holds it. May be repeated after an
/// interruption.
///
/// # Errors
/// See [`RebuildError`]. The queue may hold a part of the rows after one of the database's.
pub async fn rebuild(
    queue: &Queue,
    manifests: Vec<(String, Uuid, Manifest)>,
    queue_id: Option<Uuid>,
) -> Result<Rebuilt, RebuildError> {
    let queue_id = choose(&manifests, queue_id)?;
    let backups: Vec<KnownBackup> = manifests
        .into_iter()
        .filter(|(.., manifest)| manifest.queue_id == queue_id)
        .filter_map(|(name, id, manifest)| known(name, id, manifest))
        .collect();
    let ids: Vec<Uuid> = backups.iter().map(|backup| backup.id).collect();
    if ids.is_empty() {
        return Err(RebuildError::NothingFound);
    }
    let alive = queue.live_workers().await?.len();
    if alive > 0 {
        return Err(RebuildError::DaemonsAlive(alive));
    }
    let others = queue.jobs_beside(&ids).await?;
    if others > 0 {
        return Err(RebuildError::NotEmpty(others));
    }
    if !queue.become_queue(queue_id, &ids).await? {
        return Err(RebuildError::Changed);
    }
    let (mut jobs, mut copies) = (0, 0);
    for batch in backups.chunks(BATCH) {
        let (new_jobs, new_copies) = queue.rebuild(queue_id, batch).await?;
        jobs += new_jobs;
        copies += new_copies;
    }
    Ok(Rebuilt {
        queue_id,
        found: backups.len(),
        jobs,
        copies,
    })
}

fn choose(
    manifests: &[(String, Uuid, Manifest)],
    wanted: Option<Uuid>,
) -> Result<Uuid, RebuildError> {
    let mut queues = BTreeMap::new();
    for (.., manifest) in manifests {
        *queues.entry(manifest.queue_id).or_insert(0) += 1;
    }
    match (wanted, queues.first_key_value()) {
        (Some(wanted), _) if queues.contains_key(&wanted) => Ok(wanted),
        (Some(_), _) | (None, None) => Err(RebuildError::NothingFound),
        (None, Some((only, _))) if queues.len() == 1 => Ok(*only),
        (None, Some(_)) => Err(RebuildError::SeveralQueues(queues)),
    }
}

fn known(storage: String, storage_id: Uuid, manifest: Manifest) -> Option<KnownBackup> {
    let Name::Part(Part { token, .. }) = Name::of(manifest.object.key.as_str()) else {
        return None;
    };
    let filters = manifest.spec;
    let spec = BackupSpec {
        schemas: filters.schemas,
        exclude_schemas: filters.exclude_schemas,
        tables: filters.tables,
        exclude_tables: filters.exclude_tables,
        exclude_table_data: filters.exclude_table_data,
        label: manifest.label,
    };
    Some(KnownBackup {
        id: manifest.backup_id,
        target: manifest.target,
        // Of texts alone.
        spec: serde_json::to_value(&spec).unwrap_or_default(),
        requested_by: manifest.requested_by,
        attempt: manifest.attempt,
        lease_token: manifest.lease_token,
        started_at: manifest.started_at,
        finished_at: manifest.finished_at,
        size_bytes: manifest.object.size_bytes,
        sha256: manifest.object.sha256,
        tables: manifest.archive.tables,
        rows: manifest.archive.rows,
        dump_bytes: manifest.archive.dump_bytes,
        warnings: manifest.warnings,
        warnings_total: manifest.warnings_total,
        storage,
        storage_id,
        object_key: manifest.object.key.to_string(),
        object_token: token,
    })
}

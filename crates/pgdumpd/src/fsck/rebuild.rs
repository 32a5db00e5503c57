//! Makes rows of a queue that were lost again, from what its backups' manifests say: all of them, or those that it
//! lacks because an older state of it was restored.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pgdumpd_client::BackupSpec;
use uuid::Uuid;

use crate::fault::chain;
use crate::queue::{KnownBackup, Queue, QueueError, fitted_warnings};
use crate::store::{Listed, Manifest, Name, ObjectKey, Part};

/// Rows made by one statement.
const BATCH: usize = 200;

/// A manifest that a storage holds, readable or not.
#[derive(Debug)]
pub struct Held {
    /// The storage's name in the configuration.
    pub storage: String,
    /// Its id.
    pub storage_id: Uuid,
    /// What was listed.
    pub listed: Listed,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The queue's id from now on.
    pub queue_id: Uuid,
    /// Backups in the storages.
    pub found: usize,
    /// Jobs that were not there before.
    pub jobs: u64,
    /// Copies that were not there before.
    pub copies: u64,
    /// Backups that do not say when they were claimed: keep_last neither counts nor deletes them.
    pub without_age: usize,
    /// Backups of this queue that got no row, each with the reason.
    pub left_out: Vec<String>,
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
    /// It is another queue, and in use.
    #[error("the queue is not empty: {0} of its jobs do not belong to these backups")]
    NotEmpty(u64),
    /// The role may not write rows that daemons and producers may not write.
    #[error("this role may not create the rows of jobs that have ended")]
    NotOwner,
    /// Daemons were seen within their lease.
    #[error("{0} daemons are alive in this queue")]
    DaemonsAlive(usize),
    /// Somebody else changed it meanwhile.
    #[error("the queue changed during the rebuild")]
    Changed,
    /// The queue's database.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

fn counted(queues: &BTreeMap<Uuid, usize>) -> String {
    let counted: Vec<String> = queues.iter().map(|(id, n)| format!("{id} ({n})")).collect();
    counted.join(", ")
}

/// Rebuilds from these manifests. May be repeated after an interruption. A backup whose manifest is of no use, or says
/// what no row can hold, is left out and keeps none of the others.
///
/// # Errors
/// See [`RebuildError`]. The queue may hold a part of the rows after one of the database's.
pub async fn rebuild(
    queue: &Queue,
    held: Vec<Held>,
    queue_id: Option<Uuid>,
) -> Result<Rebuilt, RebuildError> {
    let queue_id = choose(&held, queue_id, queue.id())?;
    let mut left_out = Vec::new();
    let mut backups = Vec::new();
    for held in held {
        match known(queue_id, held) {
            Some(Ok(backup)) => backups.push(backup),
            Some(Err(why)) => left_out.push(why),
            None => {}
        }
    }
    // A job records the newest of its backups, and so does each storage: it comes first, and what is there stays.
    backups.sort_by(|a, b| {
        let place = |b: &KnownBackup| {
            let age = Reverse((b.claimed_at, b.started_at, b.object_key.clone()));
            (b.id, age)
        };
        place(a).cmp(&place(b))
    });
    if !queue.may_rebuild().await? {
        return Err(RebuildError::NotOwner);
    }
    // Rows that end nothing and begin nothing harm no queue in use, and no daemon.
    if queue.id() != queue_id {
        replace(queue, queue_id, &backups).await?;
    }
    let mut rebuilt = Rebuilt {
        queue_id,
        found: backups.len() + left_out.len(),
        jobs: 0,
        copies: 0,
        without_age: backups.iter().filter(|b| b.claimed_at.is_none()).count(),
        left_out,
    };
    for batch in backups.chunks(BATCH) {
        rebuilt.add(queue, batch).await?;
    }
    Ok(rebuilt)
}

/// Lets an empty queue become the one that was lost.
async fn replace(
    queue: &Queue,
    queue_id: Uuid,
    backups: &[KnownBackup],
) -> Result<(), RebuildError> {
    let alive = queue.live_workers().await?.len();
    if alive > 0 {
        return Err(RebuildError::DaemonsAlive(alive));
    }
    let ids: Vec<Uuid> = backups.iter().map(|backup| backup.id).collect();
    let others = queue.jobs_beside(&ids).await?;
    if others > 0 {
        return Err(RebuildError::NotEmpty(others));
    }
    if queue.become_queue(queue_id, &ids).await? {
        Ok(())
    } else {
        Err(RebuildError::Changed)
    }
}

impl Rebuilt {
    /// Makes the rows of a batch, one backup at a time where one of them is refused.
    async fn add(&mut self, queue: &Queue, batch: &[KnownBackup]) -> Result<(), QueueError> {
        match queue.rebuild(self.queue_id, batch).await {
            Ok((jobs, copies)) => {
                self.jobs += jobs;
                self.copies += copies;
            }
            Err(error) if error.refuses_a_value() && batch.len() > 1 => {
                for backup in batch {
                    Box::pin(self.add(queue, std::slice::from_ref(backup))).await?;
                }
            }
            Err(error) if error.refuses_a_value() => {
                let keys = batch.iter().map(|backup| &backup.object_key);
                self.left_out
                    .extend(keys.map(|key| format!("{key}: {}", chain(&error))));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The queue that rows are made of: the one that is wanted, else the one that is there, else the only one that there
/// are backups of. Unreadable manifests do not count: their queue is known by their names alone.
fn choose(held: &[Held], wanted: Option<Uuid>, present: Uuid) -> Result<Uuid, RebuildError> {
    let mut queues = BTreeMap::new();
    for manifest in held
        .iter()
        .filter_map(|held| held.listed.manifest.as_ref().ok())
    {
        *queues.entry(manifest.queue_id).or_insert(0) += 1;
    }
    let wanted = wanted.or(queues.contains_key(&present).then_some(present));
    match (wanted, queues.first_key_value()) {
        (Some(wanted), _) if queues.contains_key(&wanted) => Ok(wanted),
        (Some(_), _) | (None, None) => Err(RebuildError::NothingFound),
        (None, Some((only, _))) if queues.len() == 1 => Ok(*only),
        (None, Some(_)) => Err(RebuildError::SeveralQueues(queues)),
    }
}

/// `None` if it is of another queue; else the backup, or why it gets no row.
fn known(queue_id: Uuid, held: Held) -> Option<Result<KnownBackup, String>> {
    let Listed { key, manifest } = held.listed;
    let Name::Part(part) = Name::of(key.as_str()) else {
        // Nobody but a person gives a backup such a name.
        return manifest
            .is_ok_and(|manifest| manifest.queue_id == queue_id)
            .then(|| Err(misplaced(&key)));
    };
    match manifest {
        Ok(manifest) if manifest.queue_id == queue_id => {
            if (part.queue_id, part.job) != (queue_id, manifest.backup_id) {
                return Some(Err(misplaced(&key)));
            }
            Some(Ok(backup(held.storage, held.storage_id, &part, manifest)))
        }
        Ok(_) => None,
        Err(fault) => (part.queue_id == queue_id).then(|| Err(fault.report())),
    }
}

fn misplaced(key: &ObjectKey) -> String {
    format!("{key}: its manifest names another queue or backup than its key")
}

fn backup(storage: String, storage_id: Uuid, part: &Part, manifest: Manifest) -> KnownBackup {
    let filters = manifest.spec;
    let spec = BackupSpec {
        schemas: filters.schemas,
        exclude_schemas: filters.exclude_schemas,
        tables: filters.tables,
        exclude_tables: filters.exclude_tables,
        exclude_table_data: filters.exclude_table_data,
        label: manifest.label,
    };
    KnownBackup {
        id: manifest.backup_id,
        target: manifest.target,
        database_name: manifest.database.name,
        system_identifier: manifest.database.system_identifier,
        // Of texts alone.
        spec: serde_json::to_value(&spec).unwrap_or_default(),
        requested_by: manifest.requested_by,
        attempt: manifest.attempt,
        lease_token: manifest.lease_token,
        claimed_at: manifest.claimed_at,
        started_at: manifest.started_at,
        finished_at: manifest.finished_at,
        size_bytes: manifest.object.size_bytes,
        sha256: manifest.object.sha256,
        tables: manifest.archive.tables,
        rows: manifest.archive.rows,
        dump_bytes: manifest.archive.dump_bytes,
        warnings: fitted_warnings(&manifest.warnings),
        warnings_total: manifest.warnings_total,
        storage,
        storage_id,
        object_key: manifest.object.key.to_string(),
        object_token: part.token,
    }
}

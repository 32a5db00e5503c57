//! A stored backup as a command line names it.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::backup_id::{IdBeginning, Wanted, beginning};
use super::exit::{Advised, Exit, damage, is_damage};
use super::storages::{open, open_copy};
use super::{queue_access, watch};
use crate::code::Code;
use crate::config::Config;
use crate::fault::{Fault, chain};
use crate::queue::{CopyRow, Damaged, Queue, QueueError};
use crate::readback::{Stored, compare_with_row};
use crate::store::{ObjectKey, Storage};

/// How often the queue is asked whether a backup without its manifest was deleted, and between which pauses.
const DELETED: (u32, Duration) = (10, Duration::from_millis(200));

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The backup's id (its job's), or a beginning of it that no other has
    #[arg(value_parser = beginning, required_unless_present = "target")]
    id: Option<IdBeginning>,
    /// The newest backup of this target
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    target: Option<String>,
    /// With --target, which is the default: the newest
    #[arg(long, requires = "target")]
    latest: bool,
    /// With --target: the newest that was begun at this time or before, such as 2030-01-31T02:00:00Z
    #[arg(long, value_name = "TIME", requires = "target", conflicts_with = "latest", value_parser = super::values::time)]
    at: Option<DateTime<Utc>>,
    /// Find it in this storage, without the queue
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
}

impl Which {
    /// Does something with the backup: in the first of the storages that hold it and can be read here. Where it is
    /// damaged, or deleted meanwhile, in the next one.
    pub(super) async fn with_backup(
        &self,
        config: &Config,
        mut act: impl AsyncFnMut(&mut Stored) -> anyhow::Result<Looked>,
    ) -> anyhow::Result<Exit> {
        let Some(mut copies) = self.copies(config).await? else {
            return Ok(Exit::NotFound);
        };
        while let Some(mut stored) = copies.next(config).await {
            match act(&mut stored).await {
                Ok(Looked::Done(exit)) => return Ok(exit),
                Ok(Looked::Proved) => {
                    copies.record_proved(&stored).await;
                    return Ok(Exit::Done);
                }
                Ok(Looked::Damaged) => {
                    copies.is_damaged = true;
                    let code = Code::ArchiveDamaged;
                    copies
                        .note_damaged(&stored, code, "its content is damaged")
                        .await;
                }
                Ok(Looked::Failed(error)) => return Err(error),
                Err(error) if is_gone(&stored).await => report_gone(&stored, &error),
                Err(error) => {
                    let Some(fault) = damage(&error) else {
                        return Err(error);
                    };
                    copies
                        .note_damaged(&stored, fault.code(), &fault.report())
                        .await;
                    copies.pass_over(stored.storage.name(), error);
                }
            }
        }
        copies.end(None)
    }

    /// Does something with the backup in each of the storages that hold it, and records where it was found whole.
    pub(super) async fn with_every_copy(
        &self,
        config: &Config,
        mut act: impl AsyncFnMut(&mut Stored) -> anyhow::Result<Exit>,
    ) -> anyhow::Result<Exit> {
        let Some(mut copies) = self.copies(config).await? else {
            return Ok(Exit::NotFound);
        };
        let mut worst = None;
        while let Some(mut stored) = copies.next(config).await {
            match act(&mut stored).await {
                Ok(Exit::CheckFailed) => {
                    copies.is_damaged = true;
                    copies
                        .note_damaged(&stored, Code::ArchiveDamaged, "its content is damaged")
                        .await;
                }
                Ok(exit) => {
                    copies.record_proved(&stored).await;
                    worst = Some(match worst {
                        Some(Exit::Incomplete) => Exit::Incomplete,
                        _ => exit,
                    });
                }
                Err(error) if is_gone(&stored).await => report_gone(&stored, &error),
                Err(error) => {
                    if let Some(fault) = damage(&error) {
                        copies
                            .note_damaged(&stored, fault.code(), &fault.report())
                            .await;
                    }
                    copies.pass_over(stored.storage.name(), error);
                }
            }
        }
        copies.end(worst)
    }

    /// The copies of the backup; `None` if there is no such backup, which was said.
    async fn copies(&self, config: &Config) -> anyhow::Result<Option<Copies>> {
        let wanted = self.wanted();
        let found = match &self.storage {
            Some(name) => {
                watch::eprintln_line(
                    "with --storage the queue is not read: the backup is not compared with its row",
                );
                let storage = open(config, name).await?;
                let id = wanted.in_storage(&storage).await?;
                id.map(|id| Copies::in_storage(storage, id))
            }
            None => Copies::by_queue(config, wanted).await?,
        };
        if found.is_none() {
            watch::eprintln_line(&wanted.to_string());
        }
        Ok(found)
    }

    fn wanted(&self) -> Wanted<'_> {
        match (&self.id, &self.target) {
            (Some(beginning), _) => Wanted::Beginning(beginning),
            (None, target) => Wanted::NewestOf(target.as_deref().unwrap_or_default(), self.at),
        }
    }
}

/// The result of working with a backup.
pub(super) enum Looked {
    /// The request was done, or cannot be.
    Done(Exit),
    /// It was found whole and good in this storage, which is noted in the queue.
    Proved,
    /// It is damaged in this storage, which was reported.
    Damaged,
    /// It failed, and another copy is of no use any more.
    Failed(anyhow::Error),
}

fn report_gone(stored: &Stored, error: &anyhow::Error) {
    watch::eprintln_line(&format!(
        "storage \"{}\": the backup was deleted while it was read: {}",
        stored.storage.name(),
        chain(error.as_ref())
    ));
}

/// Where a backup is stored, and was not tried yet.
struct Copies {
    id: Uuid,
    queue: Option<Queue>,
    storage: Option<Storage>,
    rows: VecDeque<CopyRow>,
    /// Whether the backup is damaged in a storage that was read.
    is_damaged: bool,
    first_error: Option<anyhow::Error>,
}

impl Copies {
    fn in_storage(storage: Storage, id: Uuid) -> Self {
        Self {
            id,
            queue: None,
            storage: Some(storage),
            rows: VecDeque::new(),
            is_damaged: false,
            first_error: None,
        }
    }

    async fn by_queue(config: &Config, wanted: Wanted<'_>) -> anyhow::Result<Option<Self>> {
        let queue = queue_access::queue(&config.queue).await.map_err(|error| {
            Advised::new(
                chain(&error),
                "With --storage NAME the backup is found in a storage, without the queue: `pgdumpd list --storage NAME` shows what is there.",
            )
        })?;
        let Some(id) = wanted.by_queue(&queue).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            id,
            storage: None,
            rows: queue.copies_of(id).await?.into(),
            queue: Some(queue),
            is_damaged: false,
            first_error: None,
        }))
    }

    /// The next one that can be read. One that cannot is named on standard error.
    async fn next(&mut self, config: &Config) -> Option<Stored> {
        if let Some(storage) = self.storage.take() {
            let name = storage.name().to_owned();
            match Stored::search(storage, self.id).await {
                Ok((found, faults)) => {
                    for fault in faults {
                        self.pass_over(&name, fault.into());
                    }
                    return found;
                }
                Err(fault) => self.pass_over(&name, fault.into()),
            }
        }
        while let Some(row) = self.rows.pop_front() {
            match of_copy(config, &row).await {
                Ok(Some(stored)) => return Some(stored),
                Ok(None) => self.missing(&row).await,
                Err(error) => self.pass_over(&row.storage, error),
            }
        }
        None
    }

    /// What is recorded, and has no manifest where it should be: deleted a moment ago, or damaged. Who deletes takes the
    /// manifest first, and says so in the row last.
    async fn missing(&mut self, row: &CopyRow) {
        match self.is_deleted(row).await {
            Ok(true) => watch::eprintln_line(&format!(
                "storage \"{}\": the backup is not there any more",
                row.storage
            )),
            Ok(false) => self.pass_over(&row.storage, missing_manifest(row).into()),
            Err(error) => self.pass_over(&row.storage, error.into()),
        }
    }

    async fn is_deleted(&self, row: &CopyRow) -> Result<bool, QueueError> {
        let Some(queue) = &self.queue else {
            return Ok(false);
        };
        // Who may not see this has to wait for the row.
        if queue.is_deletion_requested(self.id).await.unwrap_or(false) {
            return Ok(true);
        }
        let (times, pause) = DELETED;
        for _ in 0..times {
            let recorded = queue.copies_of(self.id).await?;
            let is_this = |recorded: &CopyRow| {
                recorded.storage_id == row.storage_id && recorded.object_key == row.object_key
            };
            if !recorded.iter().any(is_this) {
                return Ok(true);
            }
            tokio::time::sleep(pause).await;
        }
        Ok(false)
    }

    /// Continues with the next one, because of this error; of several the first one counts.
    fn pass_over(&mut self, storage: &str, error: anyhow::Error) {
        watch::eprintln_line(&format!("storage \"{storage}\": {}", chain(error.as_ref())));
        let is_first_damage = is_damage(&error) && !self.is_damaged;
        self.is_damaged |= is_damage(&error);
        if is_first_damage || self.first_error.is_none() {
            self.first_error = Some(error);
        }
    }

    /// Notes that what the queue knows of was found whole. Who may only read the queue cannot, and need not.
    async fn record_proved(&self, stored: &Stored) {
        let Some(queue) = &self.queue else {
            return;
        };
        let (id, key) = (stored.storage.id(), stored.manifest.object.key.as_str());
        if let Err(error) = queue.record_proved(self.id, id, key).await {
            tracing::debug!("the queue could not record that a backup is whole: {error}");
        }
    }

    /// Lets those who want to know it hear of it. Who may only read the queue cannot, and need not.
    async fn note_damaged(&self, stored: &Stored, code: Code, what: &str) {
        let Some(queue) = &self.queue else {
            return;
        };
        let damaged = Damaged {
            job: self.id,
            storage: stored.storage.name(),
            storage_id: stored.storage.id(),
            object_key: stored.manifest.object.key.as_str(),
            code,
            what,
        };
        if let Err(error) = queue.note_damaged(&damaged).await {
            tracing::debug!("the queue could not note that a backup is damaged: {error}");
        }
    }

    /// How the command ends if no storage is left, given the best result of them.
    fn end(self, done: Option<Exit>) -> anyhow::Result<Exit> {
        match (done, self.first_error) {
            (None, Some(error)) if !self.is_damaged || is_damage(&error) => Err(error),
            _ if self.is_damaged => Ok(Exit::CheckFailed),
            (Some(_), Some(_)) => Ok(Exit::Incomplete),
            (Some(exit), None) => Ok(exit),
            (None, _) => {
                watch::eprintln_line(&format!("{}: no such backup", self.id));
                Ok(Exit::NotFound)
            }
        }
    }
}

fn missing_manifest(row: &CopyRow) -> Fault {
    let what = format!(
        "the manifest of {} is missing, but the queue says that the backup is stored",
        row.object_key
    );
    Fault::permanent(Code::ObjectMissing, what)
        .hint("Find out who removed it; `pgdumpd fsck` lists what is left of it.")
}

/// Whether the storage is there, and the backup is not.
async fn is_gone(stored: &Stored) -> bool {
    let key = &stored.manifest.object.key;
    stored.storage.has_manifest(key).await.is_ok_and(|has| !has)
        && stored.storage.confirm().await.is_ok()
}

async fn of_copy(config: &Config, copy: &CopyRow) -> anyhow::Result<Option<Stored>> {
    let storage = open_copy(config, copy).await?;
    let key = ObjectKey::parse(&copy.object_key)?;
    let found = Stored::open(storage, &key).await?;
    if let Some(stored) = &found {
        compare_with_row(
            &stored.manifest,
            copy.size_bytes.try_into().ok(),
            &copy.recorded,
        )?;
    }
    Ok(found)
}

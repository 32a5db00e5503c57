//! A stored backup as a command line names it.

use std::collections::VecDeque;

use std::sync::Arc;

use anyhow::Context;
use uuid::Uuid;

use super::exit::{Advised, Exit, is_damage};
use super::{queue_pool, watch};
use crate::config::{Config, StorageConfig};
use crate::daemon::{KnownStorages, Served};
use crate::fault::chain;
use crate::queue::CopyRow;
use crate::store::{ObjectKey, Storage};
use crate::stored::{Stored, compare_with_row};

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The backup's id (its job's)
    #[arg(value_parser = super::values::job_id)]
    id: Uuid,
    /// Look for it in this storage, without the queue
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
}

impl Which {
    /// Does something with the backup: in the first of the storages that hold it and can be read here. Where it is
    /// deleted meanwhile, in the next one.
    ///
    /// Whether a copy that was passed over is damaged is given, too.
    pub(super) async fn with_backup(
        &self,
        config: &Config,
        mut act: impl AsyncFnMut(&mut Stored, &[Damaged]) -> anyhow::Result<Exit>,
    ) -> anyhow::Result<Exit> {
        let mut copies = match &self.storage {
            Some(name) => {
                watch::eprintln_line(
                    "with --storage the queue is not asked: what its row says of the backup is not compared",
                );
                Copies::in_storage(open(config, name).await?, self.id)
            }
            None => Copies::by_queue(config, self.id).await?,
        };
        while let Some(mut stored) = copies.next(config).await? {
            match act(&mut stored, &copies.damaged).await {
                Err(error) if is_gone(&stored).await => {
                    watch::eprintln_line(&format!(
                        "storage \"{}\": the backup was deleted while it was read: {}",
                        stored.storage.name(),
                        chain(error.as_ref())
                    ));
                }
                done => return done,
            }
        }
        watch::eprintln_line(&format!("{}: no such backup", self.id));
        Ok(Exit::NotFound)
    }
}

/// A storage's name, where the backup is damaged.
pub(super) type Damaged = String;

/// Where a backup is stored, and was not looked for yet.
struct Copies {
    id: Uuid,
    storage: Option<Storage>,
    rows: VecDeque<CopyRow>,
    damaged: Vec<Damaged>,
    first_error: Option<anyhow::Error>,
}

impl Copies {
    fn in_storage(storage: Storage, id: Uuid) -> Self {
        Self {
            id,
            storage: Some(storage),
            rows: VecDeque::new(),
            damaged: Vec::new(),
            first_error: None,
        }
    }

    async fn by_queue(config: &Config, id: Uuid) -> anyhow::Result<Self> {
        let queue = queue_pool::queue(&config.queue).await?;
        Ok(Self {
            id,
            storage: None,
            rows: queue.copies_of(id).await?.into(),
            damaged: Vec::new(),
            first_error: None,
        })
    }

    /// The next one that can be read. One that cannot is named on standard error; where none can, the first error is the
    /// result.
    async fn next(&mut self, config: &Config) -> anyhow::Result<Option<Stored>> {
        if let Some(storage) = self.storage.take() {
            return Ok(Stored::search(storage, self.id).await?);
        }
        while let Some(row) = self.rows.pop_front() {
            let error = match of_copy(config, &row).await {
                Ok(Some(stored)) => return Ok(Some(stored)),
                Ok(None) => continue,
                Err(error) => error,
            };
            watch::eprintln_line(&format!(
                "storage \"{}\": {}",
                row.storage,
                chain(error.as_ref())
            ));
            if is_damage(&error) {
                self.damaged.push(row.storage);
            }
            self.first_error.get_or_insert(error);
        }
        self.first_error.take().map_or(Ok(None), Err)
    }
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
            &copy.noted,
        )?;
    }
    Ok(found)
}

/// Opens the storage that holds a copy, whatever its name is here.
pub(super) async fn open_copy(config: &Config, copy: &CopyRow) -> anyhow::Result<Storage> {
    let (name, id) = (&copy.storage, copy.storage_id);
    let served = Served {
        storages: config.storages.clone(),
        known: Arc::new(KnownStorages::only_existing(Vec::new())),
        ..Served::default()
    };
    let found = served.open_by_id(name, id).await;
    let found = found.with_context(|| format!("cannot open storage \"{name}\""))?;
    found.ok_or_else(|| {
        let message = format!(
            "no storage here has the id {id}, in which the backup lies: it was \"{name}\" when it was stored"
        );
        Advised::new(message, elsewhere(config, name)).into()
    })
}

/// What to do where a storage is not among those that are configured.
fn elsewhere(config: &Config, name: &str) -> String {
    let run = "Run this command on the host whose storage holds the backup";
    match config.storages.get(name) {
        Some(storage) => format!(
            "Storage \"{name}\" is {} here, and another one. {run}, or configure where the former one lies, under any name.",
            storage.place.shown()
        ),
        None => format!("{run}, or configure where it lies, under any name."),
    }
}

/// Opens a configured storage, which must be there.
pub(super) async fn open(config: &Config, name: &str) -> anyhow::Result<Storage> {
    let storage = configured(config, name)?;
    Storage::open_existing(name, storage, &[])
        .await
        .with_context(|| format!("cannot open storage \"{name}\""))
}

fn configured<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a StorageConfig> {
    config.storages.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.storages.keys().map(String::as_str).collect();
        let message = format!("there is no storage \"{name}\" in the configuration");
        Advised::new(
            message,
            format!("Configured storages: {}.", known.join(", ")),
        )
        .into()
    })
}

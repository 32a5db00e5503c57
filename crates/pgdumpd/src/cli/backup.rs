//! A stored backup as a command line names it.

use anyhow::Context;
use uuid::Uuid;

use super::exit::Advised;
use super::{queue_pool, watch};
use crate::config::{Config, StorageConfig};
use crate::fault::chain;
use crate::queue::CopyRow;
use crate::store::{ObjectKey, Storage};
use crate::stored::Stored;

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
    /// Opens it; none, and why not on standard error, where there is no such backup.
    pub(super) async fn open(&self, config: &Config) -> anyhow::Result<Option<Stored>> {
        let found = match &self.storage {
            Some(name) => Stored::search(open(config, name).await?, self.id).await?,
            None => self.by_queue(config).await?,
        };
        if found.is_none() {
            watch::eprintln_line(&format!("{}: no such backup", self.id));
        }
        Ok(found)
    }

    /// From the first of the storages that hold it and can be read here.
    async fn by_queue(&self, config: &Config) -> anyhow::Result<Option<Stored>> {
        let queue = queue_pool::queue(&config.queue).await?;
        let mut first_error = None;
        for copy in queue.copies_of(self.id).await? {
            match of_copy(config, &copy).await {
                Ok(Some(stored)) => return Ok(Some(stored)),
                Ok(None) => {}
                Err(error) => {
                    watch::eprintln_line(&format!(
                        "storage \"{}\" cannot be read: {}",
                        copy.storage,
                        chain(error.as_ref())
                    ));
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(None), Err)
    }
}

async fn of_copy(config: &Config, copy: &CopyRow) -> anyhow::Result<Option<Stored>> {
    let storage = open_copy(config, copy).await?;
    let key = ObjectKey::parse(&copy.object_key)?;
    Ok(Stored::open(storage, &key).await?)
}

/// Opens the storage that holds a copy, and no other that has its name here.
pub(super) async fn open_copy(config: &Config, copy: &CopyRow) -> anyhow::Result<Storage> {
    let storage = open(config, &copy.storage).await?;
    if storage.id() != copy.storage_id {
        let message = format!(
            "storage \"{}\" here has the id {}, the backup lies in one with the id {}",
            copy.storage,
            storage.id(),
            copy.storage_id
        );
        let hint = "Run this command on the host whose storage holds the backup.";
        return Err(Advised::new(message, hint).into());
    }
    Ok(storage)
}

/// Opens a configured storage, which must be there.
pub(super) async fn open(config: &Config, name: &str) -> anyhow::Result<Storage> {
    let storage = configured(config, name)?;
    Storage::open_existing(name, storage, None)
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

//! Storages as commands open them: by their name in the configuration, or by the id that the queue records.

use std::sync::Arc;

use anyhow::Context;

use super::exit::Advised;
use crate::config::{Config, StorageConfig};
use crate::context::{Catalog, KnownStorages};
use crate::queue::CopyRow;
use crate::store::Storage;

/// Opens the storage that holds a copy, whatever its name is here.
pub(super) async fn open_copy(config: &Config, copy: &CopyRow) -> anyhow::Result<Storage> {
    let (name, id) = (&copy.storage, copy.storage_id);
    let catalog = Catalog {
        storages: config.storages.clone(),
        known: Arc::new(KnownStorages::only_existing(Vec::new())),
        ..Catalog::default()
    };
    let found = catalog.open_by_id(name, id).await;
    let found = found.with_context(|| format!("cannot open storage \"{name}\""))?;
    found.ok_or_else(|| {
        let message = format!(
            "no storage here has the id {id}, which holds the backup: it was named \"{name}\" when the backup was stored"
        );
        Advised::new(message, elsewhere(config, name)).into()
    })
}

/// What to do where a storage is not among those that are configured.
fn elsewhere(config: &Config, name: &str) -> String {
    let run = "Run this command on the host whose storage holds the backup";
    match config.storages.get(name) {
        Some(storage) => format!(
            "Storage \"{name}\" is {} here, which is another one. {run}, or add the former one to the configuration, under any name.",
            storage.place.shown()
        ),
        None => format!("{run}, or add it to the configuration, under any name."),
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
        let message = format!("storage \"{name}\" is not in the configuration");
        Advised::new(
            message,
            format!("Configured storages: {}.", known.join(", ")),
        )
        .into()
    })
}

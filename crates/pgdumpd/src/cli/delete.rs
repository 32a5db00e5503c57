//! `pgdumpd delete`: removes a backup from its storage, manifest first.

use uuid::Uuid;

use super::exit::{Advised, Exit};
use super::{backup, out, queue_pool, watch};
use crate::config::Config;
use crate::fault::chain;
use crate::queue::Queue;
use crate::store::{ObjectKey, Storage};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup's id (its job's)
    #[arg(value_parser = super::values::job_id, required_unless_present = "key")]
    id: Option<Uuid>,
    /// Look for it in this storage, without the queue
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
    /// The archive's key in that storage, as `pgdumpd list --storage` shows it
    #[arg(long, value_name = "KEY", value_parser = ObjectKey::parse, requires = "storage", conflicts_with = "id")]
    key: Option<ObjectKey>,
    /// Do it; without this the command only says what it would remove
    #[arg(long)]
    yes: bool,
}

/// The one backup that is meant.
struct Found {
    storage: Storage,
    key: ObjectKey,
    /// The queue that has a row of it; none where it was not asked.
    queue: Option<Queue>,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let found = match (&args.storage, &args.key, args.id) {
        (Some(name), Some(key), _) => by_key(config, name, key).await?,
        (Some(name), None, Some(id)) => by_storage(config, name, id).await?,
        (None, _, Some(id)) => by_queue(config, id).await?,
        (_, _, None) => None,
    };
    let Some(found) = found else {
        return Ok(Exit::NotFound);
    };
    let (storage, key) = (&found.storage, &found.key);
    if !args.yes {
        // A manifest that cannot be read keeps nobody from deleting it.
        let manifest = storage.read_manifest(key).await.ok().flatten();
        let size = manifest.map_or_else(String::new, |manifest| {
            format!(" ({} bytes)", manifest.object.size_bytes)
        });
        out::line(format!(
            "would remove {key}{size} from storage \"{}\"; add --yes to do it",
            storage.name()
        ))?;
        return Ok(Exit::Done);
    }
    storage.delete_backup(key).await?;
    match &found.queue {
        Some(queue) => {
            queue.mark_copy_deleted(storage.id(), key.as_str()).await?;
        }
        None => tell_the_queue(config, storage, key).await,
    }
    out::line(format!("removed {key} from storage \"{}\"", storage.name()))?;
    Ok(Exit::Done)
}

async fn by_queue(config: &Config, id: Uuid) -> anyhow::Result<Option<Found>> {
    let queue = queue_pool::queue(&config.queue).await?;
    let Some(copy) = queue.copy_of(id).await? else {
        watch::eprintln_line(&format!("{id}: no storage holds a backup of this job"));
        return Ok(None);
    };
    let key = ObjectKey::parse(&copy.object_key)?;
    let storage = backup::open(config, &copy.storage).await?;
    if storage.id() != copy.storage_id {
        return Err(Advised::new(
            format!(
                "storage \"{}\" here has the id {}, the backup lies in one with the id {}",
                copy.storage,
                storage.id(),
                copy.storage_id
            ),
            "Run this command on the host whose storage holds the backup.",
        )
        .into());
    }
    // An attempt whose manifest did not check out is not adopted, and the next one stores a backup of its own.
    let mut keys = storage.keys_of(id).await?;
    if !keys.contains(&key) {
        // Its deletion was interrupted: to be finished.
        keys.push(key);
    }
    let key = the_only_one(&storage, id, keys)?;
    Ok(key.map(|key| Found {
        storage,
        key,
        queue: Some(queue),
    }))
}

async fn by_storage(config: &Config, name: &str, id: Uuid) -> anyhow::Result<Option<Found>> {
    let storage = backup::open(config, name).await?;
    let keys = storage.keys_of(id).await?;
    let Some(key) = the_only_one(&storage, id, keys)? else {
        watch::eprintln_line(&format!("{id}: storage \"{name}\" holds no backup of it"));
        return Ok(None);
    };
    Ok(Some(Found {
        storage,
        key,
        queue: None,
    }))
}

async fn by_key(config: &Config, name: &str, key: &ObjectKey) -> anyhow::Result<Option<Found>> {
    let storage = backup::open(config, name).await?;
    // An archive without a manifest may be a running job's.
    if !storage.has_manifest(key).await? {
        watch::eprintln_line(&format!(
            "{key}: no backup of storage \"{name}\": it has no manifest there"
        ));
        return Ok(None);
    }
    Ok(Some(Found {
        storage,
        key: key.clone(),
        queue: None,
    }))
}

fn the_only_one(
    storage: &Storage,
    id: Uuid,
    mut keys: Vec<ObjectKey>,
) -> Result<Option<ObjectKey>, Advised> {
    if keys.len() < 2 {
        return Ok(keys.pop());
    }
    let name = storage.name();
    let shown: Vec<&str> = keys.iter().map(ObjectKey::as_str).collect();
    Err(Advised::new(
        format!(
            "storage \"{name}\" holds {} backups with the id {id}: {}",
            keys.len(),
            shown.join(", ")
        ),
        format!(
            "Look at each with `pgdumpd list --storage {name}`, and delete one with `pgdumpd delete --storage {name} --key KEY`."
        ),
    ))
}

/// The backup is gone whether or not the queue can note it: it may be lost, or never have known it.
async fn tell_the_queue(config: &Config, storage: &Storage, key: &ObjectKey) {
    let told = async {
        let queue = queue_pool::queue(&config.queue).await?;
        queue.mark_copy_deleted(storage.id(), key.as_str()).await
    };
    if let Err(error) = told.await {
        watch::eprintln_line(&format!(
            "the queue was not told that it is removed: {}",
            chain(&error)
        ));
    }
}

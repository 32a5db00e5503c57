//! `pgdumpd delete`: removes a backup from every storage that holds it, manifest first, and cancels what would copy it
//! further.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::exit::{Advised, Exit};
use super::{backup, out, queue_pool, watch};
use crate::config::Config;
use crate::fault::chain;
use crate::queue::{CopyRow, Queue};
use crate::store::{ObjectKey, Storage};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup's id (its job's)
    #[arg(value_parser = super::values::job_id, required_unless_present = "key")]
    id: Option<Uuid>,
    /// Remove it from this storage alone, found without the queue
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
    /// The archive's key in that storage, as `pgdumpd list --storage` shows it
    #[arg(long, value_name = "KEY", value_parser = ObjectKey::parse, requires = "storage", conflicts_with = "id")]
    key: Option<ObjectKey>,
    /// Do it; without this the command only says what it would remove
    #[arg(long)]
    yes: bool,
}

/// How long a copy that runs may take to obey.
const STOPPING: Duration = Duration::from_secs(30);

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
        (None, _, Some(id)) => return everywhere(config, id, args.yes).await,
        (_, _, None) => None,
    };
    let Some(found) = found else {
        return Ok(Exit::NotFound);
    };
    found.remove(config, args.yes).await?;
    Ok(Exit::Done)
}

impl Found {
    /// Removes it, or says that it would.
    async fn remove(&self, config: &Config, yes: bool) -> anyhow::Result<()> {
        let Self {
            storage,
            key,
            queue,
        } = self;
        if !yes {
            // A manifest that cannot be read keeps nobody from deleting it.
            let manifest = storage.read_manifest(key).await.ok().flatten();
            let size = manifest.map_or_else(String::new, |manifest| {
                format!(" ({} bytes)", manifest.object.size_bytes)
            });
            return Ok(out::line(format!(
                "would remove {key}{size} from storage \"{}\"; add --yes to do it",
                storage.name()
            ))?);
        }
        storage.delete_backup(key).await?;
        match queue {
            Some(queue) => {
                queue.mark_copy_deleted(storage.id(), key.as_str()).await?;
            }
            None => tell_the_queue(config, storage, key).await,
        }
        out::line(format!("removed {key} from storage \"{}\"", storage.name()))?;
        Ok(())
    }
}

/// From all storages that hold it, by the queue. One that is away keeps nobody from removing it from the others, and is
/// told; its row goes on to say that it holds the backup.
async fn everywhere(config: &Config, id: Uuid, yes: bool) -> anyhow::Result<Exit> {
    let queue = queue_pool::queue(&config.queue).await?;
    // First, so that none is made meanwhile.
    let stopped = stop_copies(&queue, id, yes).await?;
    let copies = queue.copies_of(id).await?;
    if copies.is_empty() {
        watch::eprintln_line(&format!("{id}: no storage holds a backup of this job"));
        return Ok(Exit::NotFound);
    }
    let (mut removed, mut errors) = (0, Vec::new());
    for copy in &copies {
        let done = async {
            let Some(found) = by_row(config, &queue, id, copy).await? else {
                return Ok(());
            };
            found.remove(config, yes).await
        };
        match done.await {
            Ok(()) => removed += 1,
            Err(error) => errors.push((copy, error)),
        }
    }
    if removed == 0 && !errors.is_empty() {
        return Err(errors.swap_remove(0).1);
    }
    for (copy, error) in &errors {
        watch::eprintln_line(&format!(
            "it stays in storage \"{}\": {}",
            copy.storage,
            chain(error.as_ref())
        ));
    }
    Ok(if errors.is_empty() && stopped {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

/// Cancels the copies that have not ended, and waits until none of them runs. False: one still does.
async fn stop_copies(queue: &Queue, id: Uuid, yes: bool) -> anyhow::Result<bool> {
    let open = queue.open_copies(id).await?;
    for copy in &open {
        let does = if yes { "cancelling" } else { "would cancel" };
        out::line(format!("{does} the copy to storage \"{}\"", copy.to))?;
    }
    if !yes || open.is_empty() {
        return Ok(true);
    }
    queue.cancel_copies(id).await?;
    let deadline = Instant::now() + STOPPING;
    loop {
        let open = queue.open_copies(id).await?;
        if open.iter().all(|copy| !copy.runs) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            for copy in open {
                watch::eprintln_line(&format!(
                    "the copy to storage \"{}\" still runs: delete the backup once more when job {} has ended",
                    copy.to, copy.job
                ));
            }
            return Ok(false);
        }
        tokio::time::sleep(STOPPING / 100).await;
    }
}

async fn by_row(
    config: &Config,
    queue: &Queue,
    id: Uuid,
    copy: &CopyRow,
) -> anyhow::Result<Option<Found>> {
    let key = ObjectKey::parse(&copy.object_key)?;
    let storage = backup::open_copy(config, copy).await?;
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
        queue: Some(queue.clone()),
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

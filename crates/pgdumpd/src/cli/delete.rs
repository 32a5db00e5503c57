//! `pgdumpd delete`: removes a backup from every storage that holds it, manifest first, and cancels what would copy it
//! further.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::exit::{Advised, Exit};
use super::{out, queue_access, storages, watch};
use crate::config::Config;
use crate::fault::chain;
use crate::queue::{Place, Queue};
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
    /// Remove it; without this option the command only lists what it would remove
    #[arg(long)]
    yes: bool,
}

/// How long a copy that runs may take to obey.
const STOPPING: Duration = Duration::from_secs(30);

/// The one backup that is meant.
struct Found {
    storage: Storage,
    key: ObjectKey,
    /// The queue that has a row of it; `None` if it was not asked.
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
                format!(" ({})", crate::text::size(manifest.object.size_bytes))
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
            None => record_deletion(config, storage, key).await,
        }
        out::line(format!("removed {key} from storage \"{}\"", storage.name()))?;
        Ok(())
    }
}

/// From every storage. The request is written first: what is stored of this backup later, and what is in a storage that
/// is away, is deleted by the daemons.
async fn everywhere(config: &Config, id: Uuid, yes: bool) -> anyhow::Result<Exit> {
    let queue = queue_access::queue(&config.queue).await?;
    let places = queue.places_of_backup(id).await?;
    expect_ours(&queue, &places)?;
    let Some(asked) = queue.request_deletion(id, yes).await? else {
        watch::eprintln_line(&format!("{id}: the queue has no backup with this id"));
        return Ok(Exit::NotFound);
    };
    if !asked.has_ended {
        return Err(Advised::new(
            format!("{id}: the job has not ended"),
            format!("Cancel it first with `pgdumpd cancel {id}`, or wait for its end."),
        )
        .into());
    }
    // Before the search, so that none is made meanwhile.
    let stopped = stop_copies(&queue, id, yes).await?;
    let search = Search {
        config,
        queue: &queue,
        id,
        target: &asked.target,
        places: queue.places_of_backup(id).await?,
    };
    let outcome = search.remove_all(yes).await?;
    let was_there = places.iter().any(|place| place.recorded);
    if outcome.removed == 0 && outcome.left == 0 && was_there && yes {
        out::line(format!("{id}: removed by a daemon"))?;
    } else if outcome.removed == 0 && outcome.left == 0 {
        watch::eprintln_line(&format!("{id}: no storage holds a backup of this job"));
        return Ok(Exit::NotFound);
    }
    Ok(if outcome.left == 0 && stopped {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

/// Every place where a backup may be.
struct Search<'a> {
    config: &'a Config,
    queue: &'a Queue,
    id: Uuid,
    target: &'a str,
    places: Vec<Place>,
}

/// What came of it.
#[derive(Default)]
struct Removed {
    removed: usize,
    /// Storages in which something is, or may be, left.
    left: usize,
}

impl Search<'_> {
    async fn remove_all(&self, yes: bool) -> anyhow::Result<Removed> {
        let mut outcome = Removed::default();
        let mut opened = HashSet::new();
        let mut away = HashSet::new();
        for name in self.config.storages.keys() {
            match self.remove_from(name, yes).await {
                Ok((storage_id, removed)) => {
                    outcome.removed += removed;
                    opened.insert(storage_id);
                }
                Err(error) => {
                    away.insert(name.as_str());
                    outcome.left += 1;
                    let recorded = self
                        .places
                        .iter()
                        .any(|it| it.recorded && it.storage == *name);
                    report_left(name, recorded, yes, &chain(error.as_ref()));
                }
            }
        }
        let mut reported = HashSet::new();
        for place in &self.places {
            if opened.contains(&place.storage_id)
                || away.contains(place.storage.as_str())
                || !reported.insert(place.storage_id)
            {
                continue;
            }
            outcome.left += 1;
            let why = if away.is_empty() {
                format!(
                    "no storage with the id {} is configured here",
                    place.storage_id
                )
            } else {
                format!(
                    "none of the storages that can be opened here has the id {}",
                    place.storage_id
                )
            };
            report_left(&place.storage, place.recorded, yes, &why);
        }
        Ok(outcome)
    }

    /// Removes every backup of the job from one storage; the storage's id, and how many there were.
    async fn remove_from(&self, name: &str, yes: bool) -> anyhow::Result<(Uuid, usize)> {
        let storage = storages::open(self.config, name).await?;
        let recorded = |place: &&Place| place.recorded && place.storage_id == storage.id();
        let mut keys = storage
            .keys_of_target(self.queue.id(), self.target, self.id)
            .await?;
        for place in self.places.iter().filter(recorded) {
            let key = ObjectKey::parse(&place.object_key)?;
            // Its deletion was interrupted: to be finished.
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let removed = keys.len();
        for key in keys {
            let found = Found {
                storage: storage.clone(),
                key,
                queue: Some(self.queue.clone()),
            };
            found.remove(self.config, yes).await?;
        }
        Ok((storage.id(), removed))
    }
}

/// Reports what stays for now, on standard error.
fn report_left(storage: &str, recorded: bool, yes: bool, why: &str) {
    let may = if recorded {
        "it stays"
    } else {
        "something of it may be"
    };
    let then = if yes {
        "; a daemon that reaches it removes it"
    } else {
        ""
    };
    watch::eprintln_line(&format!("{may} in storage \"{storage}\"{then}: {why}"));
}

/// A clone that was adopted knows the original's backups, which are not its own.
fn expect_ours(queue: &Queue, places: &[Place]) -> Result<(), Advised> {
    let foreign = |place: &&Place| {
        ObjectKey::parse(&place.object_key).is_ok_and(|key| !key.is_of_queue(queue.id()))
    };
    match places.iter().find(foreign) {
        None => Ok(()),
        Some(place) => Err(Advised::new(
            format!(
                "{} belongs to another queue than {}",
                place.object_key,
                queue.id()
            ),
            "This queue was adopted, and the backup is the original's: delete it there, or by `pgdumpd delete --storage NAME --key KEY`.",
        )),
    }
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
                    "the copy to storage \"{}\" still runs; what it stores is deleted by a daemon once job {} has ended",
                    copy.to, copy.job
                ));
            }
            return Ok(false);
        }
        tokio::time::sleep(STOPPING / 100).await;
    }
}

async fn by_storage(config: &Config, name: &str, id: Uuid) -> anyhow::Result<Option<Found>> {
    let storage = storages::open(config, name).await?;
    let keys = storage.keys_of(id).await?;
    let Some(key) = the_only_one(&storage, id, keys)? else {
        watch::eprintln_line(&format!(
            "{id}: storage \"{name}\" holds no backup of this job"
        ));
        return Ok(None);
    };
    Ok(Some(Found {
        storage,
        key,
        queue: None,
    }))
}

async fn by_key(config: &Config, name: &str, key: &ObjectKey) -> anyhow::Result<Option<Found>> {
    let storage = storages::open(config, name).await?;
    // An archive without a manifest may be a running job's.
    if !storage.has_manifest(key).await? {
        watch::eprintln_line(&format!(
            "{key}: not a backup in storage \"{name}\": it has no manifest there"
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
            "Compare them with `pgdumpd list --storage {name}`, and delete one with `pgdumpd delete --storage {name} --key KEY`."
        ),
    ))
}

/// The backup is gone whether or not the queue can record it: it may be lost, or never have known it.
async fn record_deletion(config: &Config, storage: &Storage, key: &ObjectKey) {
    let recorded = async {
        let queue = queue_access::queue(&config.queue).await?;
        queue.mark_copy_deleted(storage.id(), key.as_str()).await
    };
    if let Err(error) = recorded.await {
        watch::eprintln_line(&format!(
            "the queue could not record that it is removed: {}",
            chain(&error)
        ));
    }
}
